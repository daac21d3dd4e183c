"""How a link's addresses change."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from bascule.model.state import Address, Link
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step


def address_steps(
    old: Link,
    new: Link,
    elsewhere: Collection[str] = (),
    *,
    fresh: Phase = Phase.ADDRESS,
    stale: Phase = Phase.OLD_ADDRESS,
) -> Iterator[Step]:
    """New addresses early, old ones late; an address that only changes its flags is replaced in place.

    ``elsewhere`` are the addresses of the host's links before the change: what moves from one link to another was
    ours all the time, and need not wait a second for duplicate address detection (RFC 4862) before it is used.
    ``fresh`` and ``stale`` are when new addresses come and old ones go.
    """
    kept = set(old.addresses)  # remaining lifetimes do not take part in comparison
    had = {address.ip for address in old.addresses}
    for address in new.addresses:
        if address in kept:
            continue
        commands = [ip(*_address_words("replace", new.name, address))]
        if ":" in address.ip and address.ip not in had and address.ip in elsewhere and "nodad" not in address.flags:
            at_once = replace(address, flags=(*address.flags, "nodad"))
            commands.insert(0, ip(*_address_words("replace", new.name, at_once)))
        yield step(fresh, new.name, f"address {address.ip}", *commands)
    ips = {address.ip for address in new.addresses}
    for address in old.addresses:
        if address.ip in ips or (address.is_link_local and new.addrgenmode != "none"):
            continue  # the kernel would make its own link-local address again
        yield step(
            stale,
            new.name,
            f"no longer {address.ip}",
            ip("address", "del", address.ip, *(("peer", address.peer) if address.peer else ()), "dev", new.name),
            risk=Risk.CHANGES if not address.is_link_local else Risk.ADDITION,
        )
    if any(_is_advertised(address) for address in old.addresses) and not any(":" in ip for ip in ips):
        # the kernel leaves the prefix of a router advertisement behind, and would look for neighbours on a silent port
        command = Command("ip -6", ("route", "flush", "dev", new.name, "proto", "kernel"))
        yield step(stale, new.name, "no longer the advertised prefixes", command)


def _is_advertised(address: Address) -> bool:
    return address.dynamic and ":" in address.ip


def _address_words(verb: str, name: str, address: Address) -> list[str]:
    words = ["address", verb, address.ip]
    for key, value in (("peer", address.peer), ("broadcast", address.broadcast), ("label", address.label)):
        words += [key, value] if value else []
    words += ["dev", name]
    if address.scope != "global":
        words += ["scope", address.scope]
    if address.metric:
        words += ["metric", str(address.metric)]
    words += [flag for flag in address.flags if flag in {"noprefixroute", "nodad", "home", "mngtmpaddr", "autojoin"}]
    if address.valid_s is not None:
        words += ["valid_lft", str(address.valid_s), "preferred_lft", str(address.preferred_s or 0)]
    return words
