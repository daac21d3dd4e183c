"""What is looked at before a guest's NIC is written down: is its bridge here, and is its MAC its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bascule.errors import BasculeError, Problem
from bascule.model.domain import DomainNic
from bascule.model.guarding import GuardLevel
from bascule.model.site import GuestNic
from bascule.model.state import HostState
from bascule.observe.bridge_tables import read_fdb
from bascule.plan.change import Note
from bascule.policy.guards.ports import is_guarded
from bascule.providers.loaded_guards import is_behind_guard
from bascule.providers.observe import observe as observe_host
from bascule.system.net.links import link_names

if TYPE_CHECKING:
    from bascule.guests.runtimes.runtime import GuestRuntime


def is_local(uri: str) -> bool:
    """Whether whoever runs the guests runs them on this machine: a libvirt's address may name another one."""
    return not uri.startswith("test:") and ("//" not in uri or uri.partition("//")[2].startswith("/"))


def refuse_unknown(runtime: GuestRuntime, kind: str, into: str) -> None:
    """Raise a problem for a bridge or NIC that this host does not have: a definition takes any name.

    Only where libvirt is this machine's own; another one's links are not seen from here.
    """
    if kind not in {"bridge", "direct"} or not is_local(runtime.uri) or into in link_names():
        return
    what = "bridge" if kind == "bridge" else "NIC"
    raise BasculeError.of(
        "NO-BRIDGE" if kind == "bridge" else "NO-LINK",
        f"there is no {what} '{into}' on this host",
        hint="make the bridge first: `bascule plan` says what is missing, `bascule apply` makes it"
        if kind == "bridge"
        else "`ip -br link` shows the NICs",
    )


def unguarded(nics: Iterable[GuestNic], host: HostState) -> tuple[Problem, ...]:
    """A problem for each NIC with a guard that is not loaded where it comes: nothing would hold its first frames."""
    return tuple(
        _guard_missing(nic.guest, nic.index, nic.guarding.level, nic.tap, str(nic.master))
        for nic in nics
        if is_guarded(nic) and not is_behind_guard(host, nic.tap, str(nic.master))
    )


def unguarded_taps(
    guest: str, nics: Iterable[DomainNic], guards: Mapping[str, GuardLevel], host: HostState
) -> tuple[Problem, ...]:
    """The same for NICs of a domain, the definition of which says its guards by their taps."""
    return tuple(
        _guard_missing(guest, nic.index, guards[nic.tap], nic.tap, nic.bridge or nic.into)
        for nic in nics
        if nic.tap in guards and not is_behind_guard(host, nic.tap, nic.bridge or nic.into)
    )


def _guard_missing(guest: str, index: int, level: GuardLevel, tap: str, bridge: str) -> Problem:
    return Problem(
        code="GUARD-MISSING",
        message=f"'{guest}', NIC {index}: its guard ({level}) is not loaded for {tap} on {bridge}",
        hint="'bascule apply SITE' loads it, also while the guest is off",
    )


def check_macs(runtime: GuestRuntime, nics: Iterable[GuestNic]) -> tuple[Note, ...]:
    """Whether these NICs, about to be written, have their MACs for themselves; what the wire shows of them.

    Raises BasculeError with one problem for each MAC that a domain or a link of this host has.
    """
    from bascule.providers.guest_identity import alive_elsewhere, taken

    wanted, domains = tuple(nics), runtime.domains()
    if problems := taken(wanted, domains, observe_host()):
        raise BasculeError(*problems)
    return alive_elsewhere(wanted, read_fdb())
