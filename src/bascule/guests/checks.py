"""What is looked at before a guest's NIC is written down: is its bridge here, and is its MAC its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bascule.errors import BasculeError, Problem
from bascule.model.site import GuestNic
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.policy.guards.ports import is_guarded
from bascule.providers.loaded_guards import is_behind_guard
from bascule.providers.observe import observe as observe_host
from bascule.system.net.fdb import read_fdb
from bascule.system.net.links import link_names

if TYPE_CHECKING:
    from bascule.guests.runtimes.runtime import GuestRuntime


def refuse_unknown(runtime: GuestRuntime, kind: str, into: str) -> None:
    """Raise a problem for a bridge or NIC that this host does not have: a definition takes any name.

    Only where libvirt is this machine's own; another one's links are not seen from here.
    """
    uri = runtime.uri
    if kind not in {"bridge", "direct"} or ("//" in uri and not uri.partition("//")[2].startswith("/")):
        return
    if uri.startswith("test:") or into in link_names():
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
        Problem(
            code="GUARD-MISSING",
            message=f"'{nic.guest}', NIC {nic.index}: its guard ({nic.guarding.level}) is not loaded for {nic.tap} on "
            f"{nic.master}",
            hint="'bascule apply SITE' loads it, also while the guest is off",
        )
        for nic in nics
        if is_guarded(nic) and not is_behind_guard(host, nic.tap, str(nic.master))
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
