# ruff: noqa: F401  # the one place that imports scapy, quietly; tests take its layers from here
"""Builders of frames.

Frames come from scapy, which shares no code with the decoders, where scapy has a builder. Where it has none (PVST's
VLAN element, EDP, FDP, UDLD, MNDP, GLBP, MSTP's region) they are written out here, with the source named.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Mapping
from types import MappingProxyType

from bascule.frames.envelope import Tags

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)  # it warns of the routes of the machine that runs the tests
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scapy touches deprecated ciphers that nobody here uses
    from scapy.contrib.cdp import (
        CDPAddrRecordIPv4,
        CDPMsgAddr,
        CDPMsgCapabilities,
        CDPMsgDeviceID,
        CDPMsgNativeVLAN,
        CDPMsgPlatform,
        CDPMsgPortID,
        CDPMsgVoIPVLANReply,
        CDPMsgVTPMgmtDomain,
        CDPv2_HDR,
    )
    from scapy.contrib.dtp import DTP, DTPDomain, DTPNeighbor, DTPStatus, DTPType
    from scapy.contrib.eigrp import EIGRP
    from scapy.contrib.igmp import IGMP
    from scapy.contrib.lacp import LACP, SlowProtocol
    from scapy.contrib.lldp import (
        LLDPDUChassisID,
        LLDPDUEndOfLLDPDU,
        LLDPDUGenericOrganisationSpecific,
        LLDPDUManagementAddress,
        LLDPDUPortDescription,
        LLDPDUPortID,
        LLDPDUSystemCapabilities,
        LLDPDUSystemDescription,
        LLDPDUSystemName,
        LLDPDUTimeToLive,
    )
    from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello, OSPFv3_Hdr, OSPFv3_Hello
    from scapy.contrib.pim import PIMv2Hdr, PIMv2Hello, PIMv2HelloHoldtime
    from scapy.contrib.ripng import RIPng
    from scapy.contrib.vtp import VTP, VTPVlanInfo
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.dhcp6 import (
        DHCP6_Advertise,
        DHCP6_RelayForward,
        DHCP6OptDNSDomains,
        DHCP6OptIA_NA,
        DHCP6OptIAAddress,
        DHCP6OptRelayMsg,
    )
    from scapy.layers.dns import DNS, DNSQR, DNSRR
    from scapy.layers.eap import EAPOL
    from scapy.layers.hsrp import HSRP, HSRPv2
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import (
        ICMPv6MLQuery,
        ICMPv6ND_NS,
        ICMPv6ND_RA,
        ICMPv6NDOptDNSSL,
        ICMPv6NDOptMTU,
        ICMPv6NDOptPrefixInfo,
        ICMPv6NDOptRDNSS,
        IPv6,
        IPv6ExtHdrHopByHop,
        RouterAlert,
    )
    from scapy.layers.l2 import ARP, LLC, SNAP, STP, Dot1AD, Dot1Q, Dot3, Ether
    from scapy.layers.llmnr import LLMNRQuery, LLMNRResponse
    from scapy.layers.netbios import NBNSHeader, NBNSRegistrationRequest
    from scapy.layers.rip import RIP, RIPEntry
    from scapy.layers.vrrp import VRRP, VRRPv3

SWITCH = "00:1b:54:aa:bb:05"
ROUTER = "00:1b:54:aa:bb:99"
HOST = "00:16:3e:00:00:33"


def cisco(pid: int, payload: bytes, *, dst: str = "01:00:0c:cc:cc:cc", oui: int = 0x00000C) -> bytes:
    return bytes(Dot3(src=SWITCH, dst=dst) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=oui, code=pid) / payload)


def arp(ip: str, asks: str, mac: str = HOST, tags: Tags = ()) -> bytes:
    """An ARP request."""
    frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff")
    for tag in tags:
        frame = frame / Dot1Q(vlan=tag)
    return bytes(frame / ARP(hwsrc=mac, psrc=ip, pdst=asks))


def bpdu(bridge: str = SWITCH, port: int = 5, root: str = ROUTER, src: str = "", version: int = 0) -> bytes:
    """A configuration BPDU to the bridges' group."""
    kind = 0 if version == 0 else 2
    tree = STP(
        version=version,
        bpdutype=kind,
        rootid=0x8001,
        rootmac=root,
        bridgeid=0x8001,
        bridgemac=bridge,
        portid=0x8000 | port,
        pathcost=4,
        age=1,
        maxage=20,
        hellotime=2,
        fwddelay=15,
    )
    tail = b"" if version == 0 else b"\0"
    return bytes(Dot3(src=src or bridge, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / tree / tail)


def pvst(vlan: int, *, tags: Tags = (), bridge: str = SWITCH, rapid: bool = False, port: int = 5) -> bytes:
    """PVST+: an 802.1D or 802.1w BPDU behind SNAP 00000c/010b, then the element 0000 0002 and the VLAN.

    Layout: Cisco document 24063 and the trace in Wireshark's wiki (STP page, PVST+).
    """
    root = struct.pack("!H", 0x8000 | vlan) + bytes.fromhex(ROUTER.replace(":", ""))
    mine = struct.pack("!H", 0x8000 | vlan) + bytes.fromhex(bridge.replace(":", ""))
    body = struct.pack("!HBBB", 0, 2 if rapid else 0, 2 if rapid else 0, 0x3C if rapid else 0)
    body += root + struct.pack("!I", 4) + mine + struct.pack("!HHHHH", 0x8000 | port, 256, 5120, 512, 3840)
    body += b"\0" if rapid else b""
    body += struct.pack("!HHH", 0, 2, vlan)
    snap = b"\xaa\xaa\x03\x00\x00\x0c\x01\x0b" + body
    frame = bytes.fromhex("01000ccccccd") + bytes.fromhex(bridge.replace(":", ""))
    for tag in tags:
        frame += struct.pack("!HH", 0x8100, tag)
    return frame + struct.pack("!H", len(snap)) + snap


def lldp(
    name: str = "sw1",
    port: str = "Gi0/5",
    *,
    roles: tuple[str, ...] = ("mac_bridge",),
    pvid: int | None = 30,
    vlan_name: str = "lab",
    src: str = SWITCH,
    chassis: str = SWITCH,
    describes: str = "Cisco IOS Software, C2960",
    lag: int | None = None,
    clause: int = 1,
    voice: int | None = None,
    med: int | None = None,
    label: str = "uplink of vmserver",
    inventory: Mapping[int, str] = MappingProxyType({}),
) -> bytes:
    """LLDP as a switch sends it; ``roles`` are scapy's names of the enabled capabilities.

    Aggregation moved from 802.3 (``clause`` 3) to 802.1; both are sent. ``voice`` is LLDP-MED's network policy.
    """
    frame = (
        Ether(src=src, dst="01:80:c2:00:00:0e", type=0x88CC)
        / LLDPDUChassisID(subtype=4, id=chassis)
        / LLDPDUPortID(subtype=5, id=port)
        / LLDPDUTimeToLive(ttl=120)
        / LLDPDUPortDescription(description=label)
        / LLDPDUSystemName(system_name=name)
        / LLDPDUSystemDescription(description=describes)
    )
    if roles:
        every = {f"{role}_{what}": 1 for role in roles for what in ("available", "enabled")}
        frame /= LLDPDUSystemCapabilities(**every)
    frame /= LLDPDUManagementAddress(
        management_address_subtype=1,
        management_address=bytes([10, 0, 0, 2]),
        interface_numbering_subtype=2,
        interface_number=1,
        object_id="",
    )
    if pvid is not None:
        frame /= LLDPDUGenericOrganisationSpecific(org_code=0x0080C2, subtype=1, data=struct.pack("!H", pvid))
        named = struct.pack("!HB", pvid, len(vlan_name)) + vlan_name.encode()
        frame /= LLDPDUGenericOrganisationSpecific(org_code=0x0080C2, subtype=3, data=named)
    if lag is not None:
        code, subtype = (0x0080C2, 7) if clause == 1 else (0x00120F, 3)
        frame /= LLDPDUGenericOrganisationSpecific(org_code=code, subtype=subtype, data=struct.pack("!BI", 3, lag))
    if med is not None:
        frame /= LLDPDUGenericOrganisationSpecific(org_code=0x0012BB, subtype=1, data=struct.pack("!HB", 0x21, med))
    for number, words in inventory.items():
        frame /= LLDPDUGenericOrganisationSpecific(org_code=0x0012BB, subtype=number, data=words.encode())
    if voice is not None:
        policy = struct.pack("!I", 1 << 24 | 1 << 22 | voice << 9 | 5 << 6 | 46)
        frame /= LLDPDUGenericOrganisationSpecific(org_code=0x0012BB, subtype=2, data=policy)
    frame /= LLDPDUGenericOrganisationSpecific(org_code=0x00120F, subtype=4, data=struct.pack("!H", 9216))
    return bytes(frame / LLDPDUEndOfLLDPDU())


def cdp(
    name: str = "sw1",
    port: str = "GigabitEthernet0/5",
    cap: int = 0x28,
    native: int | None = 30,
    platform: str = "cisco WS-C2960",
    src: str = SWITCH,
    *,
    version: int = 2,
    voice: int | None = 130,
    domain: str = "campus",
) -> bytes:
    """CDP; version 1 has the same layout and fewer elements."""
    messages = [
        CDPMsgDeviceID(val=name.encode()),
        CDPMsgAddr(naddr=1, addr=[CDPAddrRecordIPv4(addr="10.0.0.2")]),
        CDPMsgPortID(iface=port.encode()),
        CDPMsgCapabilities(cap=cap),
        CDPMsgPlatform(val=platform.encode()),
    ]
    if domain:
        messages.append(CDPMsgVTPMgmtDomain(val=domain.encode()))
    if voice is not None:
        messages.append(CDPMsgVoIPVLANReply(vlan=voice))
    if native is not None:
        messages.append(CDPMsgNativeVLAN(vlan=native))
    payload = CDPv2_HDR(vers=version, ttl=180, msg=messages)
    frame = Dot3(src=src, dst="01:00:0c:cc:cc:cc") / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0xC, code=0x2000)
    return bytes(frame / payload)


def dhcp_offer(ip: str = "192.168.1.120", router: str = "192.168.1.1", mask: str = "255.255.255.0") -> bytes:
    """An offer that is broadcast."""
    return bytes(
        Ether(src=ROUTER, dst="ff:ff:ff:ff:ff:ff")
        / IP(src=router, dst="255.255.255.255")
        / UDP(sport=67, dport=68)
        / BOOTP(op=2, yiaddr=ip, flags=0x8000)
        / DHCP(
            options=[
                ("message-type", "offer"),
                ("server_id", router),
                ("subnet_mask", mask),
                ("router", router),
                ("domain", b"lab.example"),
                "end",
            ]
        )
    )


def ra(prefix: str = "2001:db8:1::", src: str = "fe80::1") -> bytes:
    """A router advertisement."""
    return bytes(
        Ether(src=ROUTER, dst="33:33:00:00:00:01")
        / IPv6(src=src, dst="ff02::1")
        / ICMPv6ND_RA(routerlifetime=1800)
        / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, L=1, A=1)
        / ICMPv6NDOptMTU(mtu=9000)
        / ICMPv6NDOptRDNSS(dns=["2001:db8:1::53"], lifetime=600)
        / ICMPv6NDOptDNSSL(searchlist=["lab.example."], lifetime=600)
    )


def lacp(system: str = SWITCH, key: int = 7, port: int = 5, partner: str = "00:00:00:00:00:00") -> bytes:
    """An LACPDU; without a partner the switch hears nobody."""
    return bytes(
        Ether(src=SWITCH, dst="01:80:c2:00:00:02", type=0x8809)
        / SlowProtocol(subtype=1)
        / LACP(
            actor_system_priority=0x8000,
            actor_system=system,
            actor_key=key,
            actor_port_number=port,
            partner_system=partner,
        )
    )


def ip_frame(payload: object, *, src: str = "10.1.2.3", dst: str = "224.0.0.5", proto: int | None = None) -> bytes:
    packet = IP(src=src, dst=dst, ttl=1) if proto is None else IP(src=src, dst=dst, ttl=1, proto=proto)
    return bytes(Ether(src=ROUTER, dst="01:00:5e:00:00:05") / packet / payload)


# RFC 5171: version 1, opcode 1 (probe), then device id, port id, name
UDLD = cisco(
    0x0111,
    struct.pack("!BBH", 0x21, 0, 0)
    + b"".join(
        struct.pack("!HH", kind, len(value) + 4) + value for kind, value in ((1, b"FOC1"), (2, b"Gi0/5"), (6, b"sw1"))
    ),
)

SONMP = cisco(0x01A2, bytes([10, 0, 0, 2, 0, 1, 5, 115, 12, 2, 1]), dst="01:00:81:00:01:00", oui=0x000081)

# lldpd, src/daemon/protocols/edp.h: version 1, reserved, length, checksum, sequence, id type 0, MAC; elements 0x99
EDP = cisco(
    0x00BB,
    struct.pack("!BBHHHH", 1, 0, 0, 0, 9, 0)
    + bytes.fromhex("001b54aabb05")
    + struct.pack("!BBH", 0x99, 1, 8)
    + b"ext\0"
    + struct.pack("!BBHHH", 0x99, 2, 36, 0, 4)
    + bytes(28)
    + struct.pack("!BBHBBH", 0x99, 5, 19, 0, 0, 30)
    + bytes(4)
    + bytes([10, 0, 0, 2])
    + b"lab"
    + struct.pack("!BBH", 0x99, 0, 4),
    dst="00:e0:2b:00:00:00",
    oui=0x00E02B,
)

# lldpd, src/daemon/protocols/cdp.c (FDP differs by address and organisation only)
FDP = cisco(
    0x2000,
    struct.pack("!BBH", 1, 180, 0)
    + b"".join(
        struct.pack("!HH", kind, len(value) + 4) + value
        for kind, value in ((1, b"fdry"), (3, b"ethernet1/5"), (4, struct.pack("!I", 8)), (6, b"FastIron"))
    ),
    dst="01:e0:52:cc:cc:cc",
    oui=0x00E052,
)

# MikroTik, Neighbor discovery: 4 bytes of header, then type, length, value (as captures show them)
MNDP = bytes(
    Ether(src=SWITCH, dst="ff:ff:ff:ff:ff:ff")
    / IP(src="192.168.88.1", dst="255.255.255.255")
    / UDP(sport=5678, dport=5678)
    / (
        bytes(4)
        + b"".join(
            struct.pack("!HH", kind, len(value)) + value
            for kind, value in (
                (1, bytes.fromhex("001b54aabb05")),
                (5, b"tik"),
                (7, b"7.1"),
                (12, b"CRS326"),
                (16, b"ether5"),
            )
        )
    )
)

# Wireshark's names for the fields of packet-glbp.c: version, 0, group, 0, owner; hello with one IPv4 address
GLBP = bytes(
    Ether(src=ROUTER, dst="01:00:5e:00:00:66")
    / IP(src="10.1.2.3", dst="224.0.0.102")
    / UDP(sport=3222, dport=3222)
    / (
        struct.pack("!BBHH", 1, 0, 12, 0)
        + bytes.fromhex("001b54aabb99")
        + struct.pack("!BBBBBBHIIHHHBB", 1, 28, 0, 32, 0, 100, 0, 3000, 10000, 600, 14400, 0, 1, 4)
        + bytes([10, 1, 2, 254])
    )
)

# OpenBSD, ip_carp.h: version 2 and type 1, group, advskew, 7 words that follow, pad, advbase, checksum; counter, SHA-1
CARP = struct.pack("!BBBBBBH", 0x21, 7, 0, 7, 0, 1, 0) + bytes(range(1, 29))

# IEEE 802.1Q-2018 clause 14: behind the RSTP part come length, and the configuration identifier with the region's name
MST = bytes(
    Dot3(src=SWITCH, dst="01:80:c2:00:00:00")
    / LLC(dsap=0x42, ssap=0x42, ctrl=3)
    / STP(
        version=3,
        bpdutype=2,
        rootid=0x1000,
        rootmac=ROUTER,
        bridgeid=0x8000,
        bridgemac=SWITCH,
        portid=0x8005,
        pathcost=0,
    )
    / (
        b"\0"
        + struct.pack("!H", 64)
        + b"\0"
        + b"campus".ljust(32, b"\0")
        + bytes(2 + 16 + 4)
        + b"\x80\0"
        + bytes.fromhex(SWITCH.replace(":", ""))
        + bytes(1 + 1)
    )
)
