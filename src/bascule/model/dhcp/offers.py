"""What a DHCP server or a router offers a link beside its address, and what of it the host does not use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Offer(StrEnum):
    """What comes with a lease or a router advertisement."""

    GATEWAY = "gateway"  # the default route
    ROUTES = "routes"  # other routes: DHCP's classless ones, a router's route information
    DNS = "dns"  # name servers


Unused = frozenset[tuple[Offer, int]]  # each with the IP version whose offers are meant
NOTHING: Unused = frozenset()


def unused(used: Mapping[Offer, Iterable[int] | None]) -> Unused:
    """From the IP versions whose offers are used; None are both."""
    return frozenset(
        (offer, version) for offer, versions in used.items() if versions is not None for version in {4, 6} - {*versions}
    )


def of_version(said: Unused, version: int) -> frozenset[Offer]:
    """What is not used of one IP version's."""
    return frozenset(offer for offer, which in said if which == version)


def use_words(said: Unused, offered: Iterable[int] = (4, 6)) -> dict[str, bool | str]:
    """The keys of the site file with their values; what no IP version of a link is ``offered`` needs no word."""
    out: dict[str, bool | str] = {}
    for offer in Offer:
        gone = {version for which, version in said if which is offer}
        if gone:
            out[f"use_{offer}"] = False if gone >= {*offered} else f"ipv{10 - gone.pop()}"
    return out
