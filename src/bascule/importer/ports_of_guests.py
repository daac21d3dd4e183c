"""What stands at the ports of guests by Bascule or by hand, and in no configuration: limits, guards, static entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bascule.importer.rules_at_ports import extension_rules, rules_at_ports
from bascule.importer.words import few
from bascule.model.guarding import Bandwidth, rate_words
from bascule.model.links import Physical, Tap, Veth
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.policy.guards.loaded import loaded_guards

if TYPE_CHECKING:
    from bascule.providers.static_fdb.state import StaticFdb


def limit_of(state: HostState | None, nic: dict[str, Any]) -> dict[str, Any]:
    """How much a guest NIC may carry, where a limit of Bascule's stands at its tap."""
    shaping = state.parts.get("shaping") if state is not None else None
    found: Bandwidth | None = shaping.limits.get(str(nic.get("tap", ""))) if shaping is not None else None
    rates = (("up", found.up), ("down", found.down)) if found is not None else ()
    limit = {way: rate_words(rate) for way, rate in rates if rate is not None}
    return {"limit": limit} if limit else {}


def isolated_of(state: HostState | None, nic: dict[str, Any]) -> dict[str, Any]:
    """Whether the port's flag keeps a guest NIC from others, where its tap is known and there."""
    link = state.links.get(IfName(str(nic.get("tap", "")))) if state is not None else None
    return {"isolated": True} if link is not None and link.port is not None and link.port.isolated else {}


def _flags(state: HostState) -> Iterator[str]:
    """Flags of guests' ports by which somebody keeps them apart; those that have the same in one sentence."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, link in state.links.items():
        if link.port is not None and isinstance(link.options, Tap | Veth):
            said = (("isolated", link.port.isolated), ("locked", link.port.locked), ("bpdu guard", link.port.guard),
                    ("learns no MACs", not link.port.learning and not link.port.neigh_suppress))  # fmt: skip
            if flags := tuple(word for word, is_set in said if is_set):
                found.setdefault(flags, []).append(name)
    for flags, names in found.items():
        key = "; 'isolated: true' at the guest's NIC keeps that" if "isolated" in flags else ""
        yield f"{', '.join(few(names, 'ports'))}: {', '.join(flags)} at the bridge{key}"


def unsaid_at_ports(state: HostState, ebtables: str = "") -> Iterator[str]:
    """Guards, whose addresses a table has in another form, others' rules, and the MACs in the tables of bridges."""
    for port, level in sorted(loaded_guards(state.tables).items()):
        yield f"{port}: has a guard ({level}); 'guard: {level}' at the guest's NIC keeps it"
    yield from rules_at_ports(state.tables)
    yield from extension_rules(ebtables)
    yield from _flags(state)
    static: StaticFdb | None = state.parts.get("static_fdb")
    for port, macs in static.entries.items() if static is not None else ():
        link = state.links.get(IfName(port))
        keeps = "'fdb: static' at the guest's NIC keeps them"
        if link is not None and isinstance(link.options, Physical):
            keeps = "a site file has no key for those of a NIC"
        yield f"{port}: static entries in its bridge's table: {', '.join(few(macs, 'MACs'))}; {keeps}"
