"""Network XML: libvirt's virtual networks, written from the site file or edited where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree
from lxml.builder import E
from msgspec import Struct

from bascule.model.domain import LibvirtNetwork, NetworkText, Reservation
from bascule.model.site import Mode
from bascule.model.values import ETHERNET_MTU, IpInterface
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.providers.libvirt import parse as read
from bascule.providers.libvirt.domain_xml import NAMESPACE, Element, canonical, parse, text

_LIBVIRT_MODE = {Mode.NAT: "nat", Mode.ROUTED: "route", Mode.OPEN: "open"}


def libvirt_mode(one: ResolvedNetwork) -> str:
    """The forward mode that libvirt is given.

    A network with port forwards is ``open`` to libvirt: its own rules of `nat` reject every new connection to a guest,
    and in nftables a reject is final in whichever table it stands. The rules are then in Bascule's table.
    """
    if one.forwards:
        return "open"
    return _LIBVIRT_MODE.get(one.mode, "isolated")


def build(one: ResolvedNetwork) -> str:
    """A network as libvirt defines it."""
    mark = etree.Element(f"{{{NAMESPACE}}}network", nsmap={"bascule": NAMESPACE})
    mark.set("name", one.name)
    mark.set("mode", one.mode.value)
    root = E.network(E.name(one.name), E.metadata(mark))
    _set_forward(root, one)
    root.append(E.bridge(name=one.bridge, stp="off", delay="0"))
    root.append(E.mac(address=one.mac))
    _set_mtu(root, one)
    root.append(E.domain(name=one.name, localOnly="yes"))
    if one.names:
        root.append(E.dns(*(E.host(E.hostname(name), ip=str(address)) for name, address in one.names)))
    for address in one.addresses:
        root.append(_ip(one, address))
    etree.indent(root)
    return text(root) + "\n"


def text_of(one: ResolvedNetwork) -> NetworkText:
    """The network as it is wanted where there is none: running, and started with the host."""
    xml = build(one)
    return NetworkText(name=one.name, active=True, persistent=True, autostart=True, now=xml, next=xml)


def _set_forward(root: Element, one: ResolvedNetwork) -> None:
    mode = libvirt_mode(one)
    old = root.find("forward")
    if mode == "isolated":
        if old is not None:
            root.remove(old)
        return
    if old is None:
        old = E.forward()
        anchor = root.find("bridge")
        root.insert(len(root) if anchor is None else root.index(anchor), old)
    old.set("mode", mode)
    for child in old.findall("nat"):
        old.remove(child)
    if mode == "nat" and any(subnet.version == 6 for subnet in one.subnets):
        old.append(E.nat(ipv6="yes"))  # libvirt routes IPv6 out unchanged otherwise


def _set_mtu(root: Element, one: ResolvedNetwork) -> None:
    """What the site file says; one that it does not speak of keeps its own."""
    if one.mtu is not None:
        for old in root.findall("mtu"):
            root.remove(old)
        root.append(E.mtu(size=str(one.mtu)))


def _ip(one: ResolvedNetwork, address: IpInterface) -> Element:
    family = "ipv6" if address.version == 6 else "ipv4"
    element = E.ip(family=family, address=str(address.ip), prefix=str(address.network.prefixlen))
    ranges = [E.range(start=str(a), end=str(b)) for a, b in one.ranges if a in address.network]
    hosts = [host(entry) for entry in one.reservations if entry.address in address.network] if ranges else []
    if ranges:
        element.append(E.dhcp(*ranges, *hosts))
    return element


def host(entry: Reservation) -> Element:
    """A reservation, as ``<host>`` of ``<dhcp>``; DHCPv6 knows guests by DUID or name, not by MAC."""
    words = {"ip": str(entry.address)}
    if entry.mac and entry.address.version == 4:
        words = {"mac": str(entry.mac), **words}
    if entry.name:
        words["name"] = entry.name
    return E.host(**words)


def edited(xml: str, one: ResolvedNetwork) -> str:
    """The definition with mode, bridge, addresses and DHCP as declared; whatever else stands in it stays."""
    root = parse(xml)
    _set_forward(root, one)
    bridge = root.find("bridge")
    if bridge is None:
        root.append(E.bridge(name=one.bridge, stp="off", delay="0"))
    _set_mtu(root, one)
    for old in root.findall("ip"):
        root.remove(old)
    for address in one.addresses:
        root.append(_ip(one, address))
    etree.indent(root)
    return text(root) + "\n"


class NetUpdate(Struct, frozen=True, kw_only=True):
    """One call of libvirt's net-update: changes what runs and what is defined, and cuts nobody off."""

    command: str  # add-last, modify, delete
    section: str  # ip-dhcp-host, ip-dhcp-range, dns-host
    xml: str
    parent: int = -1  # which <ip>

    def __str__(self) -> str:
        return f"net-update {self.command} {self.section} {self.xml}"


def restart_reasons(now: LibvirtNetwork, one: ResolvedNetwork) -> tuple[str, ...]:
    """Why a network gets as it is declared by a restart only; none where ``with_dhcp`` is enough."""
    reasons = []
    mode = libvirt_mode(one)
    if now.mode != mode:
        reasons.append(f"its mode is {now.mode} and shall be {mode}")
    if set(now.addresses) != set(one.addresses):
        reasons.append(f"its addresses are {_join(now.addresses)} and shall be {_join(one.addresses)}")
    if one.mtu is not None and now.mtu != one.mtu:
        reasons.append(f"its MTU is {now.mtu or ETHERNET_MTU} and shall be {one.mtu}")
    if not reasons and bool(now.ranges) != bool(one.ranges):
        reasons.append("its DHCP server is " + ("not wanted" if now.ranges else "not there yet"))
    return tuple(reasons)


def _join(addresses: tuple[IpInterface, ...]) -> str:
    return ", ".join(str(address) for address in addresses) or "none"


def with_dhcp(xml: str, one: ResolvedNetwork) -> str:
    """The document with the declared ranges and reservations; others' stay, unless they take one of ours."""
    root, changed = parse(xml), False
    for index, element in enumerate(root.findall("ip")):
        if (own := read.interface(element)) not in one.addresses:
            continue
        declared = _ip(one, own)
        missing = {_parsed_entry(each): each for each in _entries(declared)}
        for old in _entries(element):
            if missing.pop(_parsed_entry(old), None) is None and (old.tag == "range" or _takes_one(old, declared)):
                _dhcp(root, index).remove(old)
                changed = True
        for new in missing.values():
            _dhcp(root, index).append(new)
            changed = True
    return text(root) + "\n" if changed else xml


def _entries(ip: Element) -> list[Element]:
    """The ranges and reservations of an ``<ip>``."""
    return [*ip.iterfind("dhcp/range"), *(host for host in ip.iterfind("dhcp/host") if host.get("ip"))]


def _parsed_entry(entry: Element) -> object:
    return read.dhcp_range(entry) if entry.tag == "range" else read.reservation(entry)


def _takes_one(entry: Element, declared: Element) -> bool:
    """Whether a reservation has the MAC or the address of a declared one."""
    other = read.reservation(entry)
    ours = map(read.reservation, declared.iterfind("dhcp/host"))
    return any(one.address == other.address or one.mac == other.mac is not None for one in ours)


_LIVE = {"range": "ip-dhcp-range", "host": "ip-dhcp-host"}  # what net-update changes without cutting anybody off


def updates(now: str, wanted: str) -> tuple[NetUpdate, ...] | None:
    """The updates that lead from what runs to what shall run; None where that takes a restart."""
    if now == wanted:
        return ()
    old, new = parse(now), parse(wanted)
    here, there = _taken_out(old), _taken_out(new)
    if _canonical(old) != _canonical(new):
        return None
    gone = [entry for entry in here if entry not in there]
    come = [entry for entry in there if entry not in here]
    return (*(_update("delete", entry) for entry in gone), *(_update("add-last", entry) for entry in come))


def updated(xml: str, changes: Sequence[NetUpdate]) -> str:
    """A network's document after updates."""
    root = parse(xml)
    for one in changes:
        dhcp = _dhcp(root, max(one.parent, 0))
        entry = parse(one.xml)
        for old in list(dhcp) if one.command == "delete" else ():
            if text(old) == text(entry):
                dhcp.remove(old)
        if one.command == "add-last":
            dhcp.append(entry)
    return text(root) + "\n" if changes else xml


def _dhcp(root: Element, index: int) -> Element:
    ip = root.findall("ip")[index]
    found = ip.find("dhcp")
    if found is None:
        found = etree.SubElement(ip, "dhcp")
    return found


def is_other(one: str, other: str) -> bool:
    """Whether two documents of a network say different things."""
    return one != other and _canonical(parse(one)) != _canonical(parse(other))


def _update(command: str, entry: tuple[int, str, str]) -> NetUpdate:
    parent, tag, xml = entry
    return NetUpdate(command=command, section=_LIVE[tag], xml=xml, parent=parent)


def _taken_out(root: Element) -> list[tuple[int, str, str]]:
    """Ranges and reservations out of a network: which ``<ip>`` they are of, what they are, and their XML."""
    found = []
    for index, ip in enumerate(root.findall("ip")):
        for dhcp in ip.findall("dhcp"):
            for entry in [child for child in dhcp if child.tag in _LIVE]:
                found.append((index, str(entry.tag), text(entry)))
                dhcp.remove(entry)
    return found


def _canonical(root: Element) -> bytes:
    """What is left, without what says only how it is used at the moment."""
    root.attrib.pop("connections", None)
    return canonical(root)
