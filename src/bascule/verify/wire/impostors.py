"""Answers of other machines than the one that was asked: who has a guest's address is not the guest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bascule.model.site import Host, Site, Verdict
from bascule.model.values import IpInterface, Mac
from bascule.verify.expectations import UNPROVEN, Outcome

Known = Mapping[Mac, tuple[IpInterface, ...]]


def without_impostors(outcomes: Sequence[Outcome], site: Site, host: Host, known: Known) -> tuple[Outcome, ...]:
    """The outcomes, those unproven that a host heard from somebody else's MAC; ``known`` are its neighbours."""
    found = []
    for one in outcomes:
        expected = one.expectation
        words = _impostor(site, host, expected.target, known) if expected.source == host.name else ""
        held = one.ok is True or (one.observed == Verdict.REACH and expected.verdict is Verdict.NO_REACH)
        if words and held:
            witness = replace(one.witness, sentence=f"unproven: {words}; {one.witness.sentence}", because=words)
            one = replace(one, observed=UNPROVEN, ok=None, witness=witness)  # noqa: PLW2901  # the same expectation
        found.append(one)
    return tuple(found)


def _impostor(site: Site, host: Host, name: str, known: Known) -> str:
    """Who else has an address of a guest of this host, in words; empty where nobody has, as far as the host knows."""
    guest = site.guests.get(name)
    if guest is None or guest.host != host.name:
        return ""
    own = {nic.mac for nic in guest.nics}
    addresses = {address.ip for nic in guest.nics for address in nic.addresses}
    held = {address.ip: mac for mac, some in known.items() for address in some}
    for ip, mac in held.items():
        if ip in addresses and mac not in own:
            other = next((f"{nic.guest}'s" for nic in site.guest_nics(host.name) if nic.mac == mac), f"not {name}'s")
            return f"{ip} is at {mac}, which is {other}: another machine has its address and answered"
    return ""
