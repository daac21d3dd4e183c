"""libvirt's networks: its own (NAT, routed, isolated, open), and names for bridges and NICs of the host."""

from __future__ import annotations

from copy import deepcopy
from ipaddress import ip_address, ip_interface
from typing import Any

from bascule.importer.libvirt import LibvirtFiles, PlainBridge, PortGroup, Told
from bascule.importer.libvirt.nodes import XmlElement
from bascule.model.values import IpInterface, classful, parse_ifname, parse_label, parse_vid

_MODES = {"nat": "nat", "route": "routed", "open": "open", "": "isolated"}


def read_network(root: XmlElement, out: LibvirtFiles) -> Told:
    """Enter one network. Raises ValueError for one that is not supported at all."""
    name = parse_label(root.text_of("name"))
    for child in (*root.all("uuid"), *root.all("metadata")):
        child.take_all()
    forward = root.first("forward")
    mode = forward.take("mode", "nat") if forward is not None else ""
    port = root.first("virtualport")
    kind = port.attributes.get("type") if port is not None else None
    if kind == "midonet" or (kind == "openvswitch" and mode != "bridge"):
        out.refused[name] = "of MidoNet" if kind == "midonet" else f"on Open vSwitch, of mode '{mode or 'isolated'}'"
        raise ValueError(f"network {name} is {out.refused[name]}, which is not supported")
    if mode == "bridge":
        _host_side(root, forward, name, out)
        return []
    if mode not in _MODES:
        out.refused[name] = f"of mode '{mode}', which is not supported"
        raise ValueError(f"network {name} is {out.refused[name]}")
    told: Told = []
    out.networks[name] = {"mode": _MODES[mode]} | _subnets(root, out, told)
    mtu = root.first("mtu")
    if mtu is not None and (size := mtu.attributes.get("size", "")).isdigit() and 68 <= int(size) <= 65535:
        out.networks[name]["mtu"] = int(mtu.take("size"))
    bridge = root.first("bridge")
    if bridge is not None:
        out.bridges.add(bridge.take("name"))
        if bridge.attributes.get("stp", "on") == "on":  # libvirt writes both without being asked
            bridge.take("stp")
        if bridge.attributes.get("delay", "0") == "0":
            bridge.take("delay")
    if forward is not None:
        for nic in forward.all("interface"):
            if nic.attributes.get("dev") == forward.attributes.get("dev"):  # libvirt repeats the first of them
                nic.take("dev")
    return told


def _host_side(root: XmlElement, forward: XmlElement | None, name: str, out: LibvirtFiles) -> None:
    """A network that is a bridge of the host under another name, or a pool of NICs that guests share."""
    switched = is_switched(root)
    own = PortGroup(vlans_of(root, switched=switched), switched)
    groups = {"": own}
    for group in root.all("portgroup"):  # it is told, whether a guest uses it or not
        on_switch = switched or is_switched(deepcopy(group))
        found = PortGroup(vlans_of(deepcopy(group), switched=on_switch) or own.vlans, on_switch)
        if found != PortGroup():
            groups[group.attributes.get("name", "")] = found
            groups |= {"": found} if group.attributes.get("default") == "yes" else {}
    bridge = root.first("bridge")
    if bridge is not None:
        port = root.first("port")
        is_isolated = port is not None and port.take("isolated") == "yes"
        out.aliases[name] = PlainBridge("bridge", parse_ifname(bridge.take("name")), groups, isolated=is_isolated)
        return
    nics = forward.all("interface") if forward is not None else []
    dev = forward.take("dev") if forward is not None else ""
    if not nics and not dev:
        raise ValueError(f"network {name} names neither a bridge nor a NIC")
    out.aliases[name] = PlainBridge("direct", parse_ifname(nics[0].take("dev") if nics else dev), groups)


def _subnets(root: XmlElement, out: LibvirtFiles, told: Told) -> dict[str, Any]:
    """The subnets, whose first address the host takes, and the range that it hands out."""
    entry: dict[str, Any] = {}
    subnets: list[str] = []
    own_addresses: list[str] = []
    for ip in root.all("ip"):
        own = ip.attributes.get("address", "")
        length = ip.attributes.get("prefix") or ip.attributes.get("netmask") or ("64" if ":" in own else classful(own))
        try:
            address = ip_interface(f"{own}/{length}")
        except ValueError:
            continue
        for key in ("address", "prefix", "netmask", "family"):
            ip.take(key)
        subnets.append(str(address.network))
        own_addresses.append(own)
        if address.ip != address.network.network_address + 1:
            why = f"the host has {address.ip} there; Bascule takes the first address"
            told.append((ip.line, f"<ip address='{own}'>", why))
        dhcp = ip.first("dhcp")
        for span in dhcp.all("range") if dhcp is not None else ():
            first, last = span.attributes.get("start", ""), span.attributes.get("end", "")
            if "dhcp" not in entry and first and ":" not in first:
                span.take("start"), span.take("end")
                entry["dhcp"] = f"{first}-{last}"
        if dhcp is not None:
            _reserved(dhcp, address, entry.get("dhcp", ""), root.text_of("name"), out)
    bridge = root.first("bridge")
    words = [f"the bridge {bridge.attributes['name']}"] if bridge is not None and "name" in bridge.attributes else []
    mac = root.first("mac")  # libvirt makes one up where nobody gives it
    words += [f"with MAC {mac.take('address')}"] if mac is not None and "address" in mac.attributes else []
    words += [f"the host is {', '.join(own_addresses)} there"] if own_addresses else []
    if words:
        out.kept.append(f"network {root.text_of('name')}: {'; '.join(words)}")
    return ({"subnet": subnets[0] if len(subnets) == 1 else subnets} if subnets else {}) | entry


def _reserved(dhcp: XmlElement, own: IpInterface, span: str, network: str, out: LibvirtFiles) -> None:
    """Fixed addresses of guests that are here, under their own names: the site file says them at the guest's NIC."""
    first, _, last = span.partition("-")
    for host in dhcp.all("host"):
        key = network, host.attributes.get("mac", "").lower()
        guest = out.macs.get(key)
        try:
            address = ip_address(host.attributes.get("ip", ""))
            outside = not span or not ip_address(first) <= address <= ip_address(last)  # type: ignore[operator]  # IPv4
        except (ValueError, TypeError):
            continue
        if guest is not None and host.attributes.get("name", guest) == guest and address in own.network and outside:
            out.reserved[key] = f"{address}/{own.network.prefixlen}"
            for word in ("mac", "ip", "name"):
                host.take(word)


def is_switched(node: XmlElement) -> bool:
    """Whether ``<virtualport>`` in an element makes a port of Open vSwitch."""
    port = node.first("virtualport")
    if port is None or port.attributes.get("type") != "openvswitch":
        return False
    port.take("type")
    for parameters in port.all("parameters"):
        parameters.take("interfaceid")  # libvirt's own choice, or OVN's, and it stays
    return True


def vlans_of(node: XmlElement, *, switched: bool = False) -> dict[str, Any]:
    """The VLANs that ``<vlan>`` in an element gives: one to an access port, several or a range to a trunk.

    ``switched``: of a port of Open vSwitch, which may have a native VLAN beside those of a trunk, and where 0 is none.
    """
    vlan = node.first("vlan")
    tags = vlan.all("tag") if vlan is not None else []
    modes = {tag.attributes["nativeMode"] for tag in tags if "nativeMode" in tag.attributes}
    if vlan is None or not tags or (modes and not switched):
        return {}
    try:
        numbers = {
            tag.attributes.get("id", ""): tag for tag in tags if not (switched and tag.attributes.get("id") == "0")
        }
        vids = {int(parse_vid(text)): "nativeMode" in tag.attributes for text, tag in numbers.items()}
    except ValueError:
        return {}
    is_trunk = vlan.take("trunk") == "yes" or len(tags) > 1
    for tag in tags:
        tag.take("id"), tag.take("nativeMode")
    if not is_trunk:
        return {"vlan": next(iter(vids))} if vids else {}
    told: dict[str, Any] = {"vlans": [vid for vid, is_native in vids.items() if not is_native]}
    for native in (vid for vid, is_native in vids.items() if is_native):
        told = {"vlan": native, **told} | ({"native": "tagged"} if modes == {"tagged"} else {})
    return told
