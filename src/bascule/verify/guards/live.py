"""Whether a guard holds on the live host: hostile frames from a port of our own that has the guest's guard.

Nobody else is reached. The port and the one that listens are on the guest's bridge, all MACs and addresses in the
frames are invented, and while it lasts a table of our own passes nothing of them on to any other port or to the host.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError, UsageFault
from bascule.frames.guarding.build import Parties, Party
from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.rules import AnyTable, NamedMap, NamedSet, Table, Tuple
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac, link_local
from bascule.plan.diff import diff
from bascule.policy.guards.loaded import loaded_guards
from bascule.policy.guards.ports import GuardedPort, guarded_ports
from bascule.policy.guards.sets import elements
from bascule.policy.guards.table import ATTACK_PORT, KEY
from bascule.probe.domain import ProbeAttachment
from bascule.providers.loaded_guards import guards_of
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.verify.checks import Check
from bascule.verify.guards.frames import AttackedPort, attack_from, is_snooped

ATTACKER, LISTENER = IfName(ATTACK_PORT), IfName("bascule-hears")
TABLE, MARK = "bascule_attack", "bascule:attack "  # the mark of the ports ends in the process that made them
FENCE = f"""table bridge {TABLE}
delete table bridge {TABLE}
table bridge {TABLE} {{
  chain forward {{
    type filter hook forward priority -350; policy accept;
    iifname {{ "{ATTACKER}", "{LISTENER}" }} oifname != {{ "{ATTACKER}", "{LISTENER}" }} drop
  }}
  chain input {{
    type filter hook input priority -350; policy accept;
    iifname {{ "{ATTACKER}", "{LISTENER}" }} drop
  }}
}}
"""


def check_attacks(site: Site, host: Host, state: HostState, guest: str) -> Iterator[Check]:
    """A check for each guarded NIC of a guest, in the network namespace that we are in.

    Raises UsageFault where the guest has no guard, BasculeError while another attack runs, CommandFailed or
    NotPermitted where the ports cannot be made.
    """
    nics = {nic.tap: nic for nic in site.guest_nics(host.name) if nic.guest == guest}
    ports = [port for port in guarded_ports(site, host) if port.guest == guest and not port.waits]
    if not ports:
        known = ", ".join(dict.fromkeys(port.guest for port in guarded_ports(site, host))) or "none"
        message = f"host '{host.name}' has no guest '{guest}' with a guard in the site file"
        raise UsageFault.of("GUEST-UNKNOWN", message, hint=f"guests with a guard: {known}")
    table = _swept(state)
    loaded = loaded_guards(state.tables)
    for port in ports:
        if port.by_flows:
            yield _on_a_switch(port, guards_of(state))
        elif port.name not in loaded or not isinstance(table, Table):
            yield Check(id="guard", subject=guest, ok=False, detail=f"no guard stands at {port.name}: bascule apply")
        elif lacking := _lacking(table, port):
            detail = f"the guard at {port.name} is not the file's ({lacking}): bascule apply"
            yield Check(id="guard", subject=guest, ok=False, detail=detail)
        elif (bridge := _bridge(state, nics[port.name])) is None:
            yield Check(id="guard", subject=guest, ok=None, detail=f"{nics[port.name].master} is not here")
        else:
            yield _attacked(port, table, bridge, snoops=is_snooped(host, nics[port.name]))


def left_over(state: HostState) -> list[str]:
    """What an attack that was killed has left on the host, by name; empty where none was, and where nothing is left."""
    ports = [str(name) for name in (ATTACKER, LISTENER) if name in state.links]
    tables = [f"table bridge {TABLE}"] if f"bridge {TABLE}" in state.tables else []
    guard = [f"elements of {KEY}"] if ATTACKER in loaded_guards(state.tables) else []
    return [*ports, *tables, *guard]


def _swept(state: HostState) -> AnyTable | None:
    """The guards without what an attack that was killed has left in them; its ports go as well.

    Raises BasculeError while that attack still runs.
    """
    link, table = state.links.get(ATTACKER), state.tables.get(KEY)
    pid = (link.alias or "").removeprefix(MARK) if link is not None else ""
    if pid.isdigit() and Path(f"/proc/{pid}").exists():
        raise BasculeError.of(
            "ATTACK-RUNS",
            f"process {pid} attacks a guard on this host already",
            hint=f"wait for its end; if it is no 'bascule verify --attack': ip link del {ATTACKER}",
        )
    for port in (ATTACKER, LISTENER):
        if port in state.links:
            run(("ip", "link", "del", "dev", port), check=False)
    if not isinstance(table, Table) or ATTACKER not in loaded_guards(state.tables):
        return table
    clean = replace(table, sets=tuple(_without(one) for one in table.sets))
    _load(HostState(tables={KEY: table}), HostState(tables={KEY: clean}))
    return clean


def _without(one: NamedSet | NamedMap) -> NamedSet | NamedMap:
    if isinstance(one, NamedMap):
        return one
    kept = [x for x in one.elements if ATTACKER not in {x, *(x.values[:1] if isinstance(x, Tuple) else ())}]
    return replace(one, elements=tuple(kept))


def _on_a_switch(port: GuardedPort, loaded: Mapping[str, GuardLevel]) -> Check:
    """Nothing is sent there: no fence would keep it from others."""
    if loaded.get(port.name) is not port.guarding.level:
        detail = f"no guard {port.guarding.level} stands at {port.name}: bascule apply"
        return Check(id="guard", subject=port.guest, ok=False, detail=detail)
    detail = (
        f"its guard stands at {port.name}; on a bridge that is not the kernel's hostile frames are sent in a rehearsal"
    )
    detail += " only"
    return Check(id="guard", subject=port.guest, ok=None, detail=detail)


def _lacking(table: Table, port: GuardedPort) -> str:
    """The sets in which something of a port is missing."""
    there = {one.name: set(getattr(one, "elements", ())) for one in table.sets}
    return ", ".join(name for name, some in elements([port]).items() if not set(some) <= there.get(name, set()))


def _bridge(state: HostState, nic: GuestNic) -> str | None:
    return str(nic.master) if nic.master in state.links else None


def _attacked(port: GuardedPort, table: Table, bridge: str, *, snoops: bool) -> Check:
    me, other, router = (_invented(number) for number in (1, 2, 3))
    ours = replace(
        port, name=ATTACKER, macs=(me.mac,), group_macs=(), addresses=(me.ip4, me.ip6, me.local), prefixes=(),
        others=(), other_macs=(), guarding=replace(port.guarding, broadcast=None, multicast=None),
    )  # fmt: skip
    with (
        Namespace.current() as here,
        Namespace.new("attack") as room,
        _elements_of(table, ours),
        _ports(bridge, room),
    ):
        run(("ip", "link", "set", "dev", "a", "address", me.mac), namespace=room)
        run(("ip", "link", "set", "dev", "b", "address", other.mac), namespace=room)
        ends = [
            ProbeAttachment(
                endpoint=name, namespace=room, link=IfName(name), mac=party.mac, network=bridge,
                addresses=(ip_interface(f"{party.ip4}/24"), ip_interface(f"{party.ip6}/64")),
            )
            for name, party in (("a", me), ("b", other))
        ]  # fmt: skip
        parties = Parties(me=me, other=other, router=router)
        stand = AttackedPort(port=ours, host=here, inside=ends[0], others=(ends[1],), parties=parties, snoops=snoops)
        found = attack_from(stand)
    return replace(found, detail=f"{found.detail} (sent from a port of our own beside {port.name})")


def _invented(number: int) -> Party:
    """Somebody who is nowhere: a MAC of our own range, and addresses of documentation (RFC 5737, RFC 3849)."""
    mac = Mac(f"02:00:5e:a7:{os.getpid() & 0xFF:02x}:{number:02x}")
    return Party(
        mac=mac, ip4=IPv4Address(f"192.0.2.{number}"), ip6=IPv6Address(f"2001:db8::{number}"), local=link_local(mac)
    )


@contextlib.contextmanager
def _elements_of(table: Table, port: GuardedPort) -> Iterator[None]:
    """The elements of one port more, while it lasts."""
    added = elements([port])
    more = replace(
        table,
        sets=tuple(
            replace(one, elements=(*one.elements, *added[one.name])) if one.name in added else one  # type: ignore[union-attr]  # a set, not a map
            for one in table.sets
        ),
    )
    states = HostState(tables={KEY: table}), HostState(tables={KEY: more})
    _load(*states)
    try:
        yield
    finally:
        _load(*reversed(states))


def _load(before: HostState, after: HostState) -> None:
    for change in diff(before, after).changes:
        for command in change.commands:
            run((command.tool, *command.words), stdin=command.stdin)


@contextlib.contextmanager
def _ports(bridge: str, room: Namespace) -> Iterator[None]:
    """Two ports on a bridge behind a fence, each with its other end in a namespace of its own."""
    run(("nft", "-f", "-"), stdin=FENCE)
    try:
        for port, end in ((ATTACKER, "a"), (LISTENER, "b")):
            there = f"/proc/{os.getpid()}/fd/{room.fd}"
            run(("ip", "link", "add", port, "type", "veth", "peer", "name", end, "netns", there))
            run(("ip", "link", "set", "dev", end, "addrgenmode", "none", "arp", "off", "up"), namespace=room)
            run(("ip", "link", "set", "dev", port, "alias", f"{MARK}{os.getpid()}"))
            run(("ip", "link", "set", "dev", port, "addrgenmode", "none", "master", bridge, "up"))
        yield
    finally:
        for port in (ATTACKER, LISTENER):
            run(("ip", "link", "del", "dev", port), check=False)
        run(("nft", "delete", "table", "bridge", TABLE), check=False)
