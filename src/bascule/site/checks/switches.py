"""What only a bridge of Open vSwitch can have, whom its mirrors name, and where its cables lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bascule.errors import Place
from bascule.model.host_links import Patch
from bascule.model.values import IFNAME_MAX, IfName, derive_tap, patch_name
from bascule.site import document as d
from bascule.site.checks.guards import guard_of
from bascule.site.document.links import Mirror
from bascule.site.document.links import Patch as DeclaredPatch
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring

KERNEL_KEYS = (
    "priority",
    "forward_delay",
    "hello",
    "max_age",
    "ageing",
    "path_cost",
    "port_priority",
    "port_flags",
    "querier",
)
OPENVSWITCH_KEYS = ("rstp", "fail_mode", "datapath", "native", "mirror", "patch")


def check_switches(wiring: DocumentWiring) -> None:
    """No bridge of the kernel has a key of Open vSwitch; mirrors and cables lead from and to somebody."""
    for host, entry in wiring.document.hosts.items():
        for name, bridge in entry.bridges.items():
            path: Path = ("hosts", host, "bridges", name)
            if bridge.by_kernel:
                _no_openvswitch(wiring, name, bridge, path)
                continue
            _no_kernel(wiring, name, bridge, path)
            if bridge.native is not None and not bridge.pvid:
                message = f"'native' of bridge '{name}' says how a VLAN is sent, and no 'pvid' says which"
                wiring.found.add("SWITCH", message, (*path, "native"), hint="add 'pvid: 10', or remove 'native'")
            if bridge.stp and bridge.rstp:
                message = f"bridge '{name}' has both 'stp' and 'rstp'"
                hint = "Open vSwitch runs one of them: take 'rstp', which forwards within seconds"
                wiring.found.add("SWITCH", message, (*path, "rstp"), hint=hint, also=[("the other", (*path, "stp"))])
            seen: dict[str, int] = {}
            for index, mirror in enumerate(bridge.mirror):
                _mirror(wiring, host, name, bridge, mirror, (*path, "mirror", index))
                if mirror.to in seen:
                    message = f"'{mirror.to}' gets the copies of another mirror already"
                    also = [("the first", (*path, "mirror", seen[mirror.to]))]
                    hint = "list all sources of the copies in one 'from'"
                    wiring.found.add("MIRROR", message, (*path, "mirror", index, "to"), hint=hint, also=also)
                seen.setdefault(mirror.to, index)
    _guards(wiring)
    _patches(wiring)


def _guards(wiring: DocumentWiring) -> None:
    """What flows cannot hold: guests inside of which only the number is known, and limits."""
    for guest_name, guest in wiring.document.guests.items():
        for index, nic in enumerate(guest.nics):
            name, bridge = nic.bridge, wiring.document.bridge_of(guest.host, nic)
            if bridge is None or bridge.by_kernel:
                continue
            level = guard_of(wiring.document, guest.host, nic)
            path: Path = ("guests", guest_name, "nics", index)
            number = next((one for one in nic.macs if isinstance(one, int)), None)
            if number is not None and level != "off":
                message = (
                    f"'macs: {number}' of guest '{guest_name}' cannot be held on '{name}', a bridge of Open vSwitch"
                )
                wiring.found.add("GUARD", message, (*path, "macs"), hint="list the MACs of the guests inside")
            if nic.limit is not None and (nic.limit.broadcast or nic.limit.multicast):
                what = f"the limit of broadcast or multicast of guest '{guest_name}'"
                message = f"{what} cannot be held on '{name}', a bridge of Open vSwitch"
                wiring.found.add("GUARD", message, (*path, "limit"), hint="plug it into a bridge with 'kind: linux'")
            if level != "off" and bridge.fail_mode == "standalone":
                message = (
                    f"guard '{level}' of guest '{guest_name}' cannot be held with 'fail_mode: standalone' of '{name}'"
                )
                hint = "without its rules a guarded switch must pass nothing: remove 'fail_mode'"
                wiring.found.add("GUARD", message, path, hint=hint)


def switch_ports(document: d.Document, host: str, name: IfName, bridge: d.Bridge) -> dict[str, tuple[IfName, ...]]:
    """The ports of a bridge by every word that a mirror may use for them: guest, tap, uplink."""
    found: dict[str, tuple[IfName, ...]] = {}
    for guest_name, guest in document.guests.items():
        if guest.host != host:
            continue
        nics = [(i, nic) for i, nic in enumerate(guest.nics) if nic.bridge == name]
        taps = tuple(nic.tap or derive_tap(guest_name, i) for i, nic in nics)
        if taps:
            found[guest_name] = taps
        found |= {tap: (tap,) for tap in taps}
    return found | {link: (link,) for link in bridge.below}


def _no_kernel(wiring: DocumentWiring, name: IfName, bridge: d.Bridge, path: Path) -> None:
    if not bridge.vlan_aware:
        message = f"'{name}' is a bridge of Open vSwitch, which keeps VLANs apart always"
        wiring.found.add("SWITCH", message, (*path, "vlan_aware"), hint="remove 'vlan_aware: false'")
    for key in KERNEL_KEYS:
        if getattr(bridge, key) is not None:
            message = f"'{key}' is an option of Linux bridges, and '{name}' is a bridge of Open vSwitch"
            wiring.found.add("SWITCH", message, (*path, key), hint=f"remove '{key}', or set it with ovs-vsctl")
    for index, port in enumerate(bridge.ports):
        for key in ("path_cost", "port_priority", "port_flags"):
            if getattr(port, key) is not None:
                message = f"'{key}' is an option of ports of Linux bridges, and '{name}' is a bridge of Open vSwitch"
                where: Path = (*path, "ports", index, key)
                wiring.found.add("SWITCH", message, where, hint=f"remove '{key}', or set it with ovs-vsctl")


def _no_openvswitch(wiring: DocumentWiring, name: IfName, bridge: d.Bridge, path: Path) -> None:
    for key in OPENVSWITCH_KEYS:
        if getattr(bridge, key):
            message = f"'{key}' is an option of bridges of Open vSwitch, and '{name}' is a Linux bridge"
            hint = f"add 'kind: openvswitch' to '{name}', or remove '{key}'"
            wiring.found.add("SWITCH", message, (*path, key), hint=hint)


def _mirror(wiring: DocumentWiring, host: str, name: IfName, bridge: d.Bridge, mirror: Mirror, path: Path) -> None:
    """Sources are ports of the bridge; the target is a port of it, or a NIC that nobody else needs."""
    found, entry = wiring.found, wiring.document.hosts[host]
    ports = switch_ports(wiring.document, host, name, bridge)
    if any(found.is_broken(("guests", guest)) for guest in (*mirror.from_, mirror.to)):
        return
    for word in mirror.from_:
        if word not in ports:
            hint = suggest(word, ports, kind="guest, tap or uplink on this bridge")
            found.add("MIRROR", f"'{word}' is not a port of bridge '{name}'", (*path, "from"), hint=hint)
    to = mirror.to
    if len(ports.get(to, ())) > 1:
        message = f"guest '{to}' has {len(ports[to])} NICs on bridge '{name}', and one gets the copies"
        found.add("MIRROR", message, (*path, "to"), hint=f"name its tap: {' or '.join(ports[to])}")
    elif to in bridge.below:
        what = "the uplink" if to == bridge.uplink else "a port"
        message = f"'{to}' is {what} of bridge '{name}': it would carry the copies and nothing else"
        found.add("MIRROR", message, (*path, "to"), hint="name a guest that listens, or a free NIC")
    elif to in mirror.from_:
        found.add("MIRROR", f"'{to}' would get copies of its own frames", (*path, "from"), hint="remove it there")
    elif to in ports:
        return
    elif to in entry.nics:
        _free(wiring, host, name, IfName(to), path)
    else:
        hint = suggest(to, dict.fromkeys((*ports, *entry.nics)), kind="guest, tap or NIC")
        found.add("MIRROR", f"'{to}' is neither a port of bridge '{name}' nor a NIC", (*path, "to"), hint=hint)


def _free(wiring: DocumentWiring, host: str, name: IfName, nic: IfName, path: Path) -> None:
    """A NIC that gets copies is in no other use."""
    entry = wiring.document.hosts[host]
    uses = [f"is the uplink of '{key}'" for key, each in entry.bridges.items() if each.uplink == nic]
    uses += [f"is a port of '{key}'" for key, each in entry.bridges.items() if nic in each.below[1:]]
    uses += [f"is in bond '{key}'" for key, each in entry.bonds.items() if nic in each.nics]
    uses += [f"carries '{key}'" for key, each in entry.vlans.items() if each.link == nic]
    uses += ["has an address"] if entry.nics[nic].address else []
    others = (m.to for key, each in entry.bridges.items() if key != name for m in each.mirror)
    uses += ["gets the copies of another bridge"] if nic in others else []
    if uses:
        message = f"NIC '{nic}' {uses[0]}, and a mirror needs it for itself"
        wiring.found.add("MIRROR", message, (*path, "to"), hint="name a guest that listens, or a free NIC")


# ---- cables between bridges


def _patches(wiring: DocumentWiring) -> None:
    """Each leads to another bridge, by what both can have, and there is one way between two bridges."""
    for host, entry in wiring.document.hosts.items():
        joined = {name: {name} for name in entry.bridges}  # the bridges of one broadcast domain, by each of them
        for name, bridge in entry.bridges.items():
            for index, patch in enumerate(bridge.patch if not bridge.by_kernel else ()):
                path: Path = ("hosts", host, "bridges", name, "patch", index)
                if _may_join(wiring, host, name, patch, path):
                    _one_way(wiring, host, name, patch, path, joined)


def _may_join(wiring: DocumentWiring, host: str, name: str, patch: DeclaredPatch, path: Path) -> bool:
    bridges = wiring.document.hosts[host].bridges
    this, other = bridges[IfName(name)], bridges.get(patch.to)
    if other is None:
        if not wiring.found.is_broken(("hosts", host, "bridges", patch.to)):
            others = [each for each in bridges if each != name]
            message = f"host '{host}' has no bridge '{patch.to}'"
            wiring.found.add("UNKNOWN-NAME", message, path, hint=suggest(patch.to, others, kind="bridge"))
        return False
    message = hint = ""
    if patch.to == name:
        message, hint = f"bridge '{name}' is joined to itself", "name another bridge"
    elif other.by_kernel and patch.by != "veth":
        message = f"a patch port leads to a bridge of Open vSwitch, and '{patch.to}' is a Linux bridge"
        hint = f"make it 'kind: openvswitch', or ask for a veth pair: 'patch: [{{to: {patch.to}, by: veth}}]'"
    elif not other.by_kernel and patch.by == "veth":
        message = f"'{name}' and '{patch.to}' are both bridges of Open vSwitch, and patch ports join them"
        hint = f"write 'patch: {patch.to}'"
    elif not other.by_kernel and (this.datapath or "system") != (other.datapath or "system"):
        message = f"'{name}' and '{patch.to}' have different datapaths, and a patch port leads to one of the same"
        hint = "give both the same 'datapath'"
    long = next((one for one in (patch.name, patch.peer) if one and len(one.encode()) > IFNAME_MAX), None)
    if not message and long and patch.by == "veth":
        message, hint = f"'{long}' is longer than a link's name can be", f"use at most {IFNAME_MAX} bytes"
    if message:
        wiring.found.add("PATCH", message, path, hint=hint)
    return message == ""


def _one_way(
    wiring: DocumentWiring, host: str, name: str, patch: DeclaredPatch, path: Path, joined: dict[IfName, set[IfName]]
) -> None:
    """Neither a loop nor two networks made one; ``joined`` is what the cables before this one have joined."""
    entry, site = wiring.document.hosts[host], wiring.site.hosts[host]
    here, there = joined[IfName(name)], joined[patch.to]
    networks: list[dict[str, str]] = []
    for side in (here, there):
        found = {each: wiring.site.network_below(site, site.bridges[each]) for each in sorted(side)}
        networks.append({network.name: str(each) for each, network in found.items() if network is not None})
    stops = any(entry.bridges[each].stp or entry.bridges[each].rstp for each in here | there)
    shared = sorted(networks[0].keys() & networks[1].keys())
    apart = [next(iter(sorted(found)), "") for found in networks]
    if here is there and not stops:
        message = f"bridges '{name}' and '{patch.to}' are joined already, and one more cable closes a loop"
        wiring.found.add("PATCH", message, path, hint="remove one of the cables, or set 'rstp: true'")
    elif shared and here is not there and not stops:
        ends = f"'{networks[0][shared[0]]}' and '{networks[1][shared[0]]}'"
        message = f"{ends} have uplinks on network '{shared[0]}', and a cable between them closes a loop"
        wiring.found.add("PATCH", message, path, hint="leave one of them without uplink, or set 'rstp: true'")
    elif all(apart) and apart[0] != apart[1]:
        message = f"a cable from '{name}' to '{patch.to}' would make networks '{apart[0]}' and '{apart[1]}' one"
        wiring.found.add("PATCH", message, path, hint="join bridges of one network, or leave one without uplink")
    whole = here | there
    joined.update(dict.fromkeys(whole, whole))


def patch_ends(document: d.Document, host: str, at: Callable[[Path], Place]) -> Mapping[IfName, Sequence[Patch]]:
    """The ends of cables at each bridge of a host, which either of both bridges may name."""
    found: dict[IfName, list[Patch]] = {}
    for each, bridge in document.hosts[host].bridges.items():
        for index, patch in enumerate(bridge.patch):
            here = IfName(patch.name or patch_name(each, patch.to))
            there = IfName(patch.peer or patch_name(patch.to, each))
            place, by_kernel = at(("hosts", host, "bridges", each, "patch", index)), patch.by == "veth"
            found.setdefault(each, []).append(
                Patch(name=here, peer=there, to=patch.to, by_kernel=by_kernel, place=place)
            )
            if each != patch.to:
                found.setdefault(patch.to, []).append(
                    Patch(name=there, peer=here, to=each, by_kernel=by_kernel, place=place)
                )
    return found


def tagged_bridges(document: d.Document) -> frozenset[tuple[str, IfName]]:
    """The bridges on which a guest uses a VLAN, each with its host, and those that cables join to them."""
    nics = ((guest.host, nic) for guest in document.guests.values() for nic in guest.nics)
    found = {(host, nic.bridge) for host, nic in nics if nic.bridge is not None and (nic.vlan is not None or nic.vlans)}
    all_of = ((host, *named) for host, entry in document.hosts.items() for named in entry.bridges.items())
    cables = [{(host, name), (host, patch.to)} for host, name, bridge in all_of for patch in bridge.patch]
    while more := {end for cable in cables if cable & found for end in cable - found}:
        found |= more
    return frozenset(found)
