"""The tables of a host as its site file wants them, over those that are there; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field

from bascule.errors import BasculeError, Problem
from bascule.model.ruleset.rules import AnyTable, Table
from bascule.model.site import Host, Mode, Site
from bascule.model.state import MARK, HostState
from bascule.model.values import bridge_name, count
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.table import KEY
from bascule.policy.network_rules import TABLE_PREFIX, network_table, table_key

MODES = {
    Mode.NAT: "its guests go out under the host's address",
    Mode.ROUTED: "its guests go in and out under their own addresses",
    Mode.ISOLATED: "nothing goes in or out",
    Mode.OPEN: "no rule of its own but those of its forwards and its DHCP answers",
}


GUARDS = f"nft {KEY}"  # the subject of what happens to their table


class HostTables(Struct, frozen=True, kw_only=True):
    """Tables by their key; reasons and guests by the subject of a step, as in ``Context``."""

    tables: Mapping[str, AnyTable]
    reasons: Mapping[str, str] = field(default_factory=dict)
    guests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def host_tables(
    site: Site, host: Host, observed: HostState, networks: Iterable[ResolvedNetwork], *, by_libvirt: bool = False
) -> HostTables:
    """Every table: those of the site's networks as they shall be, those of others as they are.

    Where libvirt makes the networks (``by_libvirt``), a network has a table only for its port forwards.
    Raises BasculeError where a table of somebody else has the name that one of ours needs.
    """
    mark = MARK + site.name
    networks = tuple(networks)
    wanted = {
        table.key: table
        for one in networks
        if (one.forwards or not by_libvirt) and (table := network_table(one, mark)) is not None
    }
    ports = [port for port in guarded_ports(site, host) if not port.by_flows]
    if ports:
        from bascule.policy.guards.rules import guard_table

        wanted[KEY] = guard_table(ports, mark)
    if taken := list(_taken(host, networks, wanted, observed, mark)):
        raise BasculeError(*taken)
    others = {key: one for key, one in observed.tables.items() if not _is_ours(one, host, observed, mark)}
    guests: dict[str, list[str]] = {}
    for nic in site.guest_nics(host.name) if not by_libvirt else ():
        if nic.virtual_network is not None:
            guests.setdefault(f"nft {table_key(nic.virtual_network)}", []).append(nic.guest)
    reasons = {f"nft {table_key(one.name)}": _reason(host, one, by_libvirt=by_libvirt) for one in networks}
    if ports:
        guests[GUARDS] = [port.guest for port in ports]
        now = sum(not port.waits for port in ports)
        reasons[GUARDS] = f"{count(now, 'guest NIC')} {'is' if now == 1 else 'are'} behind a guard"
    return HostTables(
        tables=others | wanted,
        reasons=reasons,
        guests={subject: tuple(dict.fromkeys(some)) for subject, some in guests.items()},
    )


def _is_ours(table: AnyTable, host: Host, observed: HostState, mark: str) -> bool:
    """Whether this site made a table.

    One without a mark is of version 0.1.0: that its network is declared tells, or its bridge, or, where libvirt made
    the bridge, that Bascule's folder on this host still has the script that loads the table when the machine starts.
    """
    if not isinstance(table, Table):
        return False
    if table.mark:
        return table.mark == mark
    network = table.name.removeprefix(TABLE_PREFIX)
    bridge = observed.links.get(bridge_name(network))
    server = getattr(observed.parts.get("dnsmasq"), "servers", {}).get(network)
    has_script = server is not None and server.script is not None
    return network in host.virtual_networks or has_script or (bridge is not None and bridge.alias == mark)


def _taken(
    host: Host, networks: Iterable[ResolvedNetwork], wanted: Mapping[str, Table], observed: HostState, mark: str
) -> Iterator[Problem]:
    needing = {table_key(one.name): (f"virtual network '{one.name}' needs", one.name) for one in networks}
    needing[KEY] = ("the guards of its guests need", "")
    for key, (who, network) in needing.items():
        there = observed.tables.get(key)
        if key not in wanted or there is None or _is_ours(there, host, observed, mark):
            continue
        owner = there.mark.removeprefix(MARK) if isinstance(there, Table) else ""
        whose = f"belongs to site '{owner}'" if owner else "is not Bascule's"
        yield Problem(
            code="TABLE-TAKEN",
            message=f"{who} the nft table '{key}', and this host has one of that name that {whose}",
            place=host.virtual_networks[network].place if network else host.place,
            hint=f"look at it with `nft list table {key}` and delete it"
            + (", or name the network differently" if network else ""),
        )


def _reason(host: Host, one: ResolvedNetwork, *, by_libvirt: bool) -> str:
    if not by_libvirt:
        words = f"virtual network {one.name} is declared {one.mode}: {MODES[one.mode]}"
    elif one.forwards:
        words = f"virtual network {one.name} is declared with port forwards"
    else:
        words = f"libvirt makes virtual network {one.name}, with rules of its own"
    return words + host.virtual_networks[one.name].place.bracketed
