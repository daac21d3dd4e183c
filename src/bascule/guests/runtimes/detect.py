"""Which runtime has the guests of this host, and which guest and NIC is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

from bascule.errors import BasculeError, MissingTool, Problem
from bascule.guests.runtimes import RUNTIMES
from bascule.guests.runtimes.runtime import GuestRuntime
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Guest


def detect(
    name: str | None = None, *, uri: str | None = None, guests: Mapping[str, Guest] | None = None
) -> GuestRuntime:
    """The runtime that was asked for, or the first that answers: libvirt, else bare QEMU.

    ``guests`` are those of the site file; bare QEMU knows the ones that it was given before, too. Raises what the
    asked-for runtime raises, or MissingTool where there is none.
    """
    silent: list[Problem] = []
    for each in RUNTIMES if name is None else (name,):
        try:
            found: GuestRuntime = import_module(f"bascule.guests.runtimes.{each}").answering(uri, guests or {})
        except BasculeError as error:
            if name is not None or uri is not None:
                raise
            silent += error.problems[:1]
        else:
            return found
    raise MissingTool(*silent)


def find_domain(domains: Iterable[Domain], name: str) -> Domain:
    """The domain of this name. Raises BasculeError with the names that there are."""
    found = {domain.name: domain for domain in domains}
    if name in found:
        return found[name]
    hint = (
        f"it has: {', '.join(found)}" if found else "no guest is defined here; 'bascule guest define SITE' defines them"
    )
    raise BasculeError.of("GUEST-UNKNOWN", f"there is no guest '{name}' on this host", hint=hint)


def find_nic(domain: Domain, word: str | None) -> DomainNic:
    """The NIC that is meant by index, MAC or tap; the only one if nothing is said. Raises BasculeError."""
    listed = "; ".join(
        f"{nic.index}: {nic.mac} ({nic.where}{', ' + nic.tap if nic.tap else ''})" for nic in domain.nics
    )
    if word is None:
        if len(domain.nics) == 1:
            return domain.nics[0]
        hint = f"by number, MAC or tap: {listed}" if domain.nics else "`bascule guest attach` gives it one"
        raise BasculeError.of("NIC-WHICH", f"'{domain.name}' has {len(domain.nics)} NICs, so say which", hint=hint)
    for nic in domain.nics:
        if word.lower() in {str(nic.index), nic.mac, nic.tap.lower()}:
            return nic
    raise BasculeError.of("NIC-MISSING", f"'{domain.name}' has no NIC '{word}'", hint=f"it has {listed or 'none'}")
