"""What guests are plugged into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bascule.model.links import PORTS_MAX
from bascule.model.values import IfName
from bascule.site import document as d
from bascule.site.checks.uplinks import unknown_vlan
from bascule.site.findings import Path, suggest
from bascule.site.parsers import NO_UPLINK
from bascule.site.wiring import DocumentWiring

_TABLE = {"bridge": "bridges", "network": "virtual_networks", "direct": "nics"}
_NOUN = {"bridge": "bridge", "network": "virtual network", "direct": "NIC"}


def check_plugs(wiring: DocumentWiring) -> None:
    """Each guest is on a known host, and each of its NICs in exactly one thing that exists there."""
    document, found = wiring.document, wiring.found
    for name, guest in document.guests.items():
        known = guest.host in document.hosts
        if not known and not found.is_broken(("hosts", guest.host)):
            hint = suggest(guest.host, document.hosts, kind="host")
            found.add("UNKNOWN-NAME", f"host '{guest.host}' is not declared", ("guests", name, "host"), hint=hint)
        for index, nic in enumerate(guest.nics):
            path: Path = ("guests", name, "nics", index)
            given = [key for key in _TABLE if getattr(nic, key) is not None]
            if not given and any(found.is_broken((*path, key)) for key in _TABLE):
                continue
            if len(given) != 1:
                words = "is plugged into nothing" if not given else f"has {' and '.join(given)}"
                found.add(
                    "PLUG",
                    f"NIC {index} of guest '{name}' {words}; it needs exactly one of bridge, network and direct",
                    path,
                    hint="bridge: a bridge of the host; network: a virtual network; direct: a NIC (macvtap)",
                )
            elif known and _exists(wiring, guest, given[0], getattr(nic, given[0]), (*path, given[0])):
                if nic.direct:
                    _direct(wiring, guest.host, nic.direct, (*path, "direct"))
                _untagged(wiring, guest, nic, name, path)
            if nic.vlan is not None or nic.vlans:
                _tagged(wiring, guest, nic, index, path)
        _serves(wiring, ("guests", name, "serves"), guest.serves)
    _room(wiring)
    for section in ("hosts", "machines"):
        entries: Mapping[str, Any] = getattr(document, section)
        for name, entry in entries.items():
            _serves(wiring, (section, name, "serves"), entry.serves)


def _room(wiring: DocumentWiring) -> None:
    """The kernel numbers the ports of a bridge, and refuses the first that it has no number for (EXFULL)."""
    document = wiring.document
    plugged: dict[tuple[str, str, str], list[Path]] = {}
    for name, guest in document.guests.items():
        for index, nic in enumerate(guest.nics):
            for key, into in (("bridge", nic.bridge), ("network", nic.network)):
                if into:
                    plugged.setdefault((guest.host, key, into), []).append(("guests", name, "nics", index))
    for (host, key, into), nics in plugged.items():
        bridge = document.hosts[host].bridges.get(IfName(into)) if host in document.hosts and key == "bridge" else None
        uplinks = 0 if bridge is None else len(bridge.below)
        if len(nics) + uplinks > PORTS_MAX:
            beyond = nics[PORTS_MAX - uplinks]
            wiring.found.add(
                "BRIDGE-FULL",
                f"{_NOUN[key]} '{into}' of host '{host}' would have {len(nics) + uplinks:,} ports; "
                f"the kernel takes {PORTS_MAX:,}",
                (*beyond, key),
                hint="spread the guests over several bridges; the place is the first NIC that does not fit",
            )


def _exists(wiring: DocumentWiring, guest: d.Guest, key: str, target: str, path: Path) -> bool:
    document, found = wiring.document, wiring.found
    table: Mapping[str, object] = getattr(document.hosts[guest.host], _TABLE[key])
    if target in table:
        return True
    if found.is_broken(("hosts", guest.host, _TABLE[key], target)):
        return False
    elsewhere = [h for h, each in document.hosts.items() if target in getattr(each, _TABLE[key])]
    other_kind = [k for k, t in _TABLE.items() if target in getattr(document.hosts[guest.host], t)]
    over = [b for b, each in document.hosts[guest.host].bridges.items() if target in each.below]
    hint = suggest(target, table, kind=_NOUN[key])
    if target in document.hosts[guest.host].bonds:
        hint = f"'{target}' is a bond; macvtap takes a NIC, or put a bridge on the bond"
    elif key == "bridge" and over:
        hint = f"'{target}' is a NIC: write 'bridge: {over[0]}', which is on it"
    elif other_kind:
        hint = f"'{target}' is a {_NOUN[other_kind[0]]}: write '{other_kind[0]}: {target}'"
    elif elsewhere:
        hint = f"host '{elsewhere[0]}' has one; move the guest there or declare it on '{guest.host}'"
    elif key == "network" and target in document.networks:
        behind = next(
            (
                b
                for b in document.hosts[guest.host].bridges
                if (segment := wiring.of_link(guest.host, b)) and segment.network == target
            ),
            None,
        )
        hint = f"'{target}' is a network of the building, reached through a bridge" + (
            f": write 'bridge: {behind}'" if behind else ""
        )
    found.add("UNKNOWN-NAME", f"host '{guest.host}' has no {_NOUN[key]} '{target}'", path, hint=hint)
    return False


def _direct(wiring: DocumentWiring, host: str, nic: IfName, path: Path) -> None:
    """The kernel hands a NIC's frames to one taker: a bridge, a bond or macvtap (EBUSY otherwise)."""
    entry = wiring.document.hosts[host]
    for name, bridge in entry.bridges.items():
        if nic in wiring.ports_of(bridge):
            wiring.found.add(
                "DIRECT-ENSLAVED",
                f"NIC '{nic}' is under bridge '{name}', so the kernel refuses macvtap on it",
                path,
                hint=f"write 'bridge: {name}', or take another NIC",
                also=[("the bridge", ("hosts", host, "bridges", name, "uplink"))],
            )
    for name, bond in entry.bonds.items():
        if nic in bond.nics:
            wiring.found.add(
                "DIRECT-ENSLAVED",
                f"NIC '{nic}' is in bond '{name}', so the kernel refuses macvtap on it",
                path,
                hint="put a bridge on the bond, or take another NIC",
                also=[("the bond", ("hosts", host, "bonds", name, "nics"))],
            )


def _untagged(wiring: DocumentWiring, guest: d.Guest, nic: d.GuestNic, name: str, path: Path) -> None:
    """A guest without a tag hears nothing of a network that arrives tagged."""
    bridge = wiring.document.bridge_of(guest.host, nic)
    if bridge is not None and (bridge.vlan is not None or not bridge.vlan_aware):
        return  # tagged below the bridge, or reported at the bridge
    segment = wiring.of_guest_nic(guest, nic)
    if segment is None or segment.vlan is None or nic.vlan is not None or nic.vlans:
        return
    hint = f"add 'vlan: {segment.vlan}'"
    if nic.direct:
        hint = f"write 'bridge:' with a bridge on that tag: NAME: {{uplink: {nic.direct}, vlan: {segment.vlan}}}"
    wiring.found.add(
        "VLAN-TAGGED",
        f"guest '{name}' is untagged on '{nic.bridge or nic.direct}', but {segment.label} arrives with VLAN "
        f"{segment.vlan}",
        path,
        hint=hint,
        also=[("the tag", ("networks", segment.network or "", "vlan"))],
    )


def _tagged(wiring: DocumentWiring, guest: d.Guest, nic: d.GuestNic, index: int, path: Path) -> None:
    """Tags of a guest NIC are the bridge's business, so the bridge must be aware of them."""
    found = wiring.found
    key = "vlan" if nic.vlan is not None else "vlans"
    bridge = wiring.document.bridge_of(guest.host, nic)
    if nic.vlan is not None and nic.vlans and (bridge is None or bridge.by_kernel):
        found.add(
            "PLUG",
            f"NIC {index} of the guest has both 'vlan' and 'vlans'",
            (*path, "vlans"),
            hint="'vlan' is one untagged VLAN (access), 'vlans' are tagged ones (trunk): take one of them",
            also=[("the other", (*path, "vlan"))],
        )
    if nic.native is not None and (nic.vlan is None or not nic.vlans or bridge is None or bridge.by_kernel):
        found.add(
            "PLUG",
            f"'native' of NIC {index} says how its 'vlan' is sent beside 'vlans' on a bridge of Open vSwitch",
            (*path, "native"),
            hint="remove 'native', or write both 'vlan' and 'vlans' on a bridge with 'kind: openvswitch'",
        )
    if nic.bridge is None:
        message = f"'{key}' needs a VLAN-aware bridge, but the NIC is not on a bridge"
        found.add("VLAN-UNAWARE", message, (*path, key), hint=f"remove '{key}'")
        return
    if bridge is not None and not bridge.vlan_aware:
        found.add(
            "VLAN-UNAWARE",
            f"'{key}' needs a VLAN-aware bridge, but '{nic.bridge}' is not",
            (*path, key),
            hint=f"add 'vlan_aware: true' to '{nic.bridge}', or remove '{key}'",
            also=[("the bridge", ("hosts", guest.host, "bridges", nic.bridge))],
        )
    elif bridge is not None and nic.vlan is not None and bridge.uplink not in NO_UPLINK:
        unknown_vlan(wiring, nic.vlan, (*path, "vlan"))


def _serves(wiring: DocumentWiring, path: Path, services: tuple[Any, ...]) -> None:
    for index, service in enumerate(services):
        for earlier in range(index):
            other = services[earlier]
            if service.overlaps(other):
                wiring.found.add(
                    "DUPLICATE-SERVICE",
                    f"{service} is served already by {other}",
                    (*path, index),
                    hint="name each port once",
                    also=[("the first", (*path, earlier))],
                )
                break
