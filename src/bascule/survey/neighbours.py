"""Which of the devices that name themselves is the switch at the other end: pure.

Phones, access points, hosts and nested libvirt bridges speak LLDP, CDP and STP, too. None of them is ever taken for
the switch; where it stays open who it is, the answer is nobody.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.frames.findings import Bpdu, Neighbour
from bascule.frames.vendors import hypervisor
from bascule.survey.evidence import UNTAGGED, NicTraffic

# protocols that end at the next device; the others are forwarded, or only explain
DIRECT = ("LLDP", "CDP", "EDP", "FDP", "SONMP", "UDLD", "PAgP")
SWITCH = "switch"
NO_SWITCH = ("host", "phone", "access point", "guest")

_PHONE = re.compile(r"\bphone\b|\bSEP[0-9A-F]{12}\b|polycom|yealink|snom", re.IGNORECASE)
_ACCESS_POINT = re.compile(r"\bAIR-|\baccess point\b|\bAP\d{2,}|aironet|\bC91\d\d\b", re.IGNORECASE)
_NETWORK_OS = re.compile(
    r"cumulus|sonic|opx|dent\b|switch|vyos|openwrt|nx-os|eos\b|routeros|\busw-|\bus-\d|edgeos|unifi|onyx|picos|arubaos",
    re.IGNORECASE,
)
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_INTERFACE = re.compile(  # an interface's name, and not what somebody called it
    r"(ae|ge|xe|et|te|fe|fa|gi|eth|ether|ethernet|(fast|(ten)?gigabit)ethernet|en[opsx]?\d*[a-z]?|swp|lan|port|sfp)-?"
    r"\d+(/\d+)*(\.\d+)?",
    re.IGNORECASE,
)
_GENERAL_OS = re.compile(
    r"linux|debian|ubuntu|red hat|centos|fedora|suse|freebsd|openbsd|netbsd|windows|vmware|esxi|darwin|proxmox|xen",
    re.IGNORECASE,
)


class Device(Struct, frozen=True, kw_only=True):
    """A neighbour and what it was taken for: switch, phone, access point, host, guest or unknown."""

    role: str
    why: str
    said: Neighbour
    mac: str
    frames: int


class Port(Struct, frozen=True, kw_only=True):
    """The switch port at the other end. ``name`` and ``port`` are empty where only the spanning tree speaks.

    ``chassis`` is the switch's own MAC where it tells it (LLDP, EDP), ``mac`` the one with which the port speaks.
    """

    name: str = ""
    port: str = ""
    port_text: str = ""
    via: str = ""
    chassis: str = ""
    mac: str = ""
    bridge: str = ""
    stp_port: int = 0
    lag: int | None = None
    mtu: int | None = None
    frames: int = 0

    @property
    def words(self) -> str:
        """As it stands in the table."""
        if self.name:
            return f"{self.name} {port_words(self.port, self.port_text)}".strip()
        return f"bridge {self.bridge[5:]}, port {self.stp_port}" if self.bridge else "-"


def is_guest_mac(mac: str) -> bool:
    """A MAC of a hypervisor's range: a guest's own, or a tap's (fe:54:00)."""
    return bool(hypervisor(mac))


def bpdus(heard: NicTraffic) -> list[tuple[Bpdu, str, int, tuple[int, ...]]]:
    """The BPDUs of real bridges with sender, frames and tags; a nested libvirt bridge's are left out."""
    return [
        (bpdu, src, frames, tags)
        for tags in heard.segments
        for bpdu, src, frames in heard.of(Bpdu, tags)
        if bpdu.root and not is_guest_mac(src) and not is_guest_mac(bpdu.bridge[5:])
    ]


def nested(heard: NicTraffic) -> Mapping[str, int]:
    """The bridges of virtual machines and their hosts on this wire, each with its sender and its number of BPDUs."""
    found: Counter[str] = Counter()
    for bpdu, src, frames in heard.of(Bpdu):
        whose = hypervisor(src) or hypervisor(bpdu.bridge[5:])
        if whose:
            found[f"{bpdu.bridge[5:] or 'unknown'}, sent by {src} ({whose})"] += frames
    return found


def devices(heard: NicTraffic) -> tuple[Device, ...]:
    """Everybody who named himself, and what each was taken for."""
    bridges = {src for _, src, _, _ in bpdus(heard)} | {bpdu.bridge[5:] for bpdu, _, _, _ in bpdus(heard)}
    found = []
    for said, src, frames in _whole(heard):
        role, why = _role(said, src, bridges)
        found.append(Device(role=role, why=why, said=said, mac=src, frames=frames))
    # who is a host by one protocol is a host by all: lldpd speaks CDP, EDP and FDP as well
    others = {device.mac: device for device in found if device.role in NO_SWITCH}
    found = [
        replace(device, role=others[device.mac].role, why=others[device.mac].why) if device.mac in others else device
        for device in found
    ]
    return tuple(sorted(found, key=lambda device: (device.role != SWITCH, -device.frames, device.said.name)))


def _whole(heard: NicTraffic) -> Iterator[tuple[Neighbour, str, int]]:
    """Each neighbour with what it says in a second frame: EDP sends the VLANs without the name and the port."""
    every = list(heard.of(Neighbour))
    parts: dict[tuple[str, str], list[tuple[Neighbour, int]]] = defaultdict(list)
    named = {(said.protocol, src) for said, src, _ in every if said.port}
    for said, src, frames in every:
        if not said.port and not said.name and (said.protocol, src) in named:
            parts[said.protocol, src].append((said, frames))
    for said, src, frames in every:
        if said.port:
            more = parts.pop((said.protocol, src), [])
            names = dict.fromkeys((*said.vlan_names, *(name for part, _ in more for name in part.vlan_names)))
            addresses = dict.fromkeys((*said.addresses, *(ip for part, _ in more for ip in part.addresses)))
            whole = replace(said, vlan_names=tuple(names), addresses=tuple(addresses))
            yield whole, src, frames + sum(number for _, number in more)
        elif said.name or (said.protocol, src) not in named:
            yield said, src, frames


def _role(said: Neighbour, src: str, bridges: set[str]) -> tuple[str, str]:
    roles, words = set(said.roles), f"{said.platform} {said.name}"
    if is_guest_mac(src) or is_guest_mac(said.chassis):
        return "guest", "its MAC is a virtual machine's"
    if "phone" in roles or _PHONE.search(words):
        return "phone", "it says that it is a telephone"
    if "access point" in roles or (_ACCESS_POINT.search(words) and "switch" not in roles):
        return "access point", "it says that it is an access point"
    if said.protocol not in DIRECT:
        return "unknown", f"{said.protocol} is forwarded: it stands somewhere on this wire"
    corroborated = src in bridges or said.chassis in bridges
    if roles & {"station", "host"} and not (roles & {"bridge", "switch"} and corroborated):
        return "host", "it says that it is a host"
    if _is_general(said) and not corroborated:
        return "host", "it runs a host's operating system and sends no spanning tree"
    if said.protocol == "CDP" and "switch" not in roles and "router" not in roles:
        return ("unknown", "it does not say that it switches") if not corroborated else (SWITCH, "it sends the BPDUs")
    if roles & {"bridge", "switch"}:
        return SWITCH, "it says that it bridges"
    if "router" in roles:
        return SWITCH, "it says that it routes"
    if corroborated:
        return SWITCH, "it sends the BPDUs"
    if said.native_vlan is not None and not roles:
        return SWITCH, "it tells the port's VLAN"
    return "unknown", "it does not say that it bridges"


def _is_general(said: Neighbour) -> bool:
    """Whether it runs what a host runs."""
    return bool(_GENERAL_OS.search(said.platform)) and not _NETWORK_OS.search(said.platform)


def switch_port(heard: NicTraffic, seen: tuple[Device, ...]) -> tuple[Port | None, tuple[str, ...]]:
    """The switch and its port, with warnings: None where nobody, or more than one, can be it."""
    tree = sorted((item for item in bpdus(heard) if item[0].bridge), key=lambda item: (item[3] != UNTAGGED, -item[2]))
    bridge, stp_port = (tree[0][0].bridge, tree[0][0].port) if tree else ("", 0)
    macs = sorted({bpdu.bridge[5:] for bpdu, _, _, _ in tree})
    several = _several_bridges(macs) if len(macs) > 1 else ()
    told = [device for device in seen if device.role == SWITCH and device.said.protocol in DIRECT and device.said.port]
    if _are_several(told):
        # several bridges behind one dumb switch: the one that also sends the BPDUs is the next hop, if there is one
        senders = {src for _, src, _, _ in tree}
        made = [device for device in told if not _is_general(device.said)]
        backed = [device for device in made or told if device.mac in senders] or made
        if not backed or _are_several(backed):
            listed = ", ".join(sorted(device.said.name or device.said.chassis for device in told))
            why = "something between lets such frames through (an unmanaged switch, a mirror port, a tunnel)"
            noun = "switches" if all({"switch", "bridge"} & set(device.said.roles) for device in told) else "devices"
            return None, (f"several {noun} are heard ({listed}): {why}",)
        told = backed
    hosts = {mac for device in seen if device.role in NO_SWITCH for mac in (device.mac, device.said.chassis)}
    if not told and bridge and set(macs) <= hosts:
        return None, (
            f"{bridge[5:]} sends BPDUs and says by LLDP or CDP that it is not a switch: a host with a bridge",
        )
    if not told:
        if not bridge:
            return None, ()
        if several:
            return None, (f"{several[0]}: none of them is taken for the switch",)
        return Port(bridge=bridge, stp_port=stp_port, via=tree[0][0].variant, frames=tree[0][2]), ()
    if ports := _two_ports(told):
        name = told[0].said.name or told[0].said.chassis
        return None, (
            f"{name} names several of its ports here ({ports}): a mirror port, or something that copies frames",
        )
    told.sort(key=lambda device: DIRECT.index(device.said.protocol))
    best = told[0].said
    if several:  # the named one's own, if it is among them
        own = {device.mac for device in told} | {device.said.chassis for device in told}
        mine = [bpdu for bpdu, src, _, _ in tree if src in own or bpdu.bridge[5:] in own]
        bridge, stp_port = (mine[0].bridge, mine[0].port) if mine else ("", 0)
    return (
        Port(
            name=best.name or best.chassis,
            port=best.port,
            port_text=best.port_text,
            chassis=next((chassis for device in told if (chassis := own_chassis(device.said))), ""),
            mac=told[0].mac,
            via=" and ".join(dict.fromkeys(device.said.protocol for device in told)),
            bridge=bridge,
            stp_port=stp_port,
            lag=next((device.said.lag for device in told if device.said.lag), None),
            mtu=next((device.said.mtu for device in told if device.said.mtu), None),
            frames=sum(device.frames for device in told),
        ),
        several,
    )


def _two_ports(told: list[Device]) -> str:
    """The ports that one switch names by one protocol, where they are several."""
    ports: dict[str, set[str]] = defaultdict(set)
    for device in told:
        ports[device.said.protocol].add(port_words(device.said.port, device.said.port_text))
    return next((", ".join(sorted(names)) for names in ports.values() if len(names) > 1), "")


def _several_bridges(macs: list[str]) -> tuple[str]:
    count = "two" if len(macs) == 2 else str(len(macs))
    return (f"{count} bridges send BPDUs here ({', '.join(macs)})",)


def port_words(port: str, description: str) -> str:
    """A port as people know it.

    A Linux that plays a switch gives a MAC as the id and the name as the description; Junos does so with an SNMP index.
    Other numbers are what stands on the front.
    """
    named = _MAC.fullmatch(port) or (port.isdigit() and _INTERFACE.fullmatch(description))
    return description if description and named else port


def own_chassis(said: Neighbour) -> str:
    """The MAC by which a switch identifies itself; a serial number or a name as the chassis may be anybody's."""
    return said.chassis if _MAC.fullmatch(said.chassis) else ""


def same_switch(one: Port, two: Port) -> bool:
    """Whether two ports belong to one switch. A name is no identity: many are called "Switch".

    The chassis decides, together with the name. Where one of them does not tell it (CDP), the names and the MACs of
    the ports do: a switch numbers its ports one after the other, so they differ in the last byte only.
    """
    if not one.name or not two.name or not same_name(one.name, two.name):
        return False
    if one.chassis and two.chassis:
        return one.chassis == two.chassis
    return bool(one.mac) and one.mac[:14] == two.mac[:14]


def _are_several(told: list[Device]) -> bool:
    """Whether the devices that name themselves on one wire are more than one."""
    return any(not _is_one(told[0], device) for device in told[1:])


def _is_one(one: Device, two: Device) -> bool:
    mine, theirs = own_chassis(one.said), own_chassis(two.said)
    if mine and theirs:
        return mine == theirs
    return one.mac == two.mac or same_name(one.said.name or one.said.chassis, two.said.name or two.said.chassis)


def same_name(one: str, two: str) -> bool:
    """Whether two names may be one device's: CDP appends a serial number in parentheses, others a domain.

    Two domains that differ are two devices; a domain that one of them leaves out is not held against it.
    """
    mine, theirs = _bare(one), _bare(two)
    if mine == theirs:
        return True
    is_short = "." not in mine or "." not in theirs
    return is_short and not _is_number(mine) and not _is_number(theirs) and mine.split(".")[0] == theirs.split(".")[0]


def _bare(name: str) -> str:
    return name.split("(", maxsplit=1)[0].strip().lower()


def _is_number(bare: str) -> bool:
    """A MAC or an IP address, whose dots are no domain's."""
    return bool(re.fullmatch(r"[0-9.:a-f]+", bare))
