"""One or more frames for every decoder, each with what it says."""

from __future__ import annotations

import struct

from msgspec import Struct
from msgspec.structs import replace

from bascule.frames.envelope import Tags
from bascule.frames.findings import (
    Asks,
    Bpdu,
    Finding,
    Gateway,
    HeardServer,
    Lacp,
    Name,
    Neighbour,
    Remark,
    Routing,
    Sender,
    Subnet,
)
from tests.survey.frames import (
    ARP,
    BOOTP,
    CARP,
    DHCP,
    DNS,
    DNSQR,
    DNSRR,
    DTP,
    EAPOL,
    EDP,
    EIGRP,
    FDP,
    GLBP,
    HOST,
    HSRP,
    IGMP,
    IP,
    LLC,
    MNDP,
    MST,
    RIP,
    ROUTER,
    SONMP,
    SWITCH,
    UDLD,
    UDP,
    VRRP,
    VTP,
    DHCP6_Advertise,
    DHCP6_RelayForward,
    DHCP6OptDNSDomains,
    DHCP6OptIA_NA,
    DHCP6OptIAAddress,
    DHCP6OptRelayMsg,
    Dot1AD,
    Dot1Q,
    Dot3,
    DTPDomain,
    DTPNeighbor,
    DTPStatus,
    DTPType,
    Ether,
    HSRPv2,
    ICMPv6MLQuery,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrHopByHop,
    LLMNRQuery,
    LLMNRResponse,
    NBNSHeader,
    NBNSRegistrationRequest,
    OSPF_Hdr,
    OSPF_Hello,
    OSPFv3_Hdr,
    OSPFv3_Hello,
    PIMv2Hdr,
    PIMv2Hello,
    PIMv2HelloHoldtime,
    RIPEntry,
    RIPng,
    RouterAlert,
    VRRPv3,
    VTPVlanInfo,
    arp,
    bpdu,
    cdp,
    cisco,
    dhcp_offer,
    ip_frame,
    lacp,
    lldp,
    pvst,
    ra,
)


class Sample(Struct, frozen=True):
    """A frame, the decoder that must take it, and what it must say."""

    decoder: str
    frame: bytes
    says: tuple[Finding, ...]
    tags: Tags = ()
    title: str = ""


SWITCH_SAID = Neighbour(
    protocol="LLDP",
    name="sw1",
    port="Gi0/5",
    port_text="uplink of vmserver",
    platform="Cisco IOS Software, C2960",
    chassis=SWITCH,
    roles=("bridge",),
    native_vlan=30,
    vlan_names=((30, "lab"),),
    addresses=("10.0.0.2",),
    mtu=9216,
)

PAGP = (
    bytes((1, 0))
    + bytes.fromhex("001b54aabb05" + "0280" + "00000005" + "00000001" + "00000000")
    + bytes(20)
    + struct.pack("!HH", 0, 2)
    + struct.pack("!HH", 1, 7)
    + b"sw1"
    + struct.pack("!HH", 2, 9)
    + b"Gi0/5"
)
ISIS = bytes.fromhex(
    "831b01000f010000" + "01" + "000000000001" + "001e" + "0000" + "40" + "00000000000101" + "84040a010203"
)
# MVRP: version 0, attribute VID of 2 bytes; three VLANs from 10 on, then the end marks
MVRP = bytes.fromhex("00" + "0102" + "0003" + "000a" + "51" + "0000" + "0000")
# PPPoE: version and type, PADO, no session; AC-Name "bras1"
PADO = bytes.fromhex("11070000" + "0009" + "01020005") + b"bras1"

SAMPLES = (
    Sample(
        "pagp",
        cisco(0x0104, PAGP),
        (
            Neighbour(protocol="PAgP", name="sw1", port="Gi0/5", chassis=SWITCH, roles=("switch",)),
            Remark("pagp", "the switch would bundle this port with others (PAgP)"),
        ),
    ),
    Sample(
        "isis",
        bytes(Dot3(src=ROUTER, dst="01:80:c2:00:00:14") / LLC(dsap=0xFE, ssap=0xFE, ctrl=3) / ISIS),
        (Routing("IS-IS", "10.1.2.3", "level 1"), Sender("10.1.2.3", "IS-IS")),
    ),
    Sample(
        "mvrp",
        bytes(Ether(src=SWITCH, dst="01:80:c2:00:00:21", type=0x88F5) / MVRP),
        (Remark("mvrp", "MVRP declares VLAN 10-12: the port is a trunk"),),
    ),
    Sample(
        "pppoe",
        bytes(Ether(src=ROUTER, dst=HOST, type=0x8863) / PADO),
        (Remark("pppoe", "the PPPoE access concentrator bras1 answers: this wire is an access line"),),
    ),
    Sample("arp", arp("10.1.2.3", "10.1.2.1"), (Sender("10.1.2.3", "ARP"), Asks("10.1.2.3", "10.1.2.1"))),
    Sample(
        "arp",
        arp("10.1.2.3", "10.1.2.1", tags=(100, 30)),
        (Sender("10.1.2.3", "ARP"), Asks("10.1.2.3", "10.1.2.1")),
        tags=(100, 30),
        title="two tags",
    ),
    Sample(
        "arp",
        bytes(Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff") / Dot1AD(vlan=100) / Dot1Q(vlan=30) / ARP(psrc="10.1.2.3")),
        (Sender("10.1.2.3", "ARP"), Asks("10.1.2.3", "0.0.0.0")),
        tags=(100, 30),
        title="802.1Q in 802.1ad",
    ),
    Sample(
        "arp",
        bytes(Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff") / Dot1AD(vlan=7) / ARP(psrc="0.0.0.0", pdst="10.1.2.1")),
        (),
        tags=(7,),
        title="probe behind 802.1ad",
    ),
    Sample("stp", bpdu(), (Bpdu(variant="STP", root=f"8001.{ROUTER}", bridge=f"8001.{SWITCH}", port=5),)),
    Sample(
        "stp",
        bpdu(version=2),
        (Bpdu(variant="RSTP", root=f"8001.{ROUTER}", bridge=f"8001.{SWITCH}", port=5),),
        title="rapid",
    ),
    Sample(
        "stp",
        MST,
        (Bpdu(variant="MSTP", root=f"1000.{ROUTER}", bridge=f"8000.{SWITCH}", port=5, region="campus"),),
        title="multiple",
    ),
    Sample(
        "pvst",
        pvst(30),
        (Bpdu(variant="PVST+", root=f"801e.{ROUTER}", bridge=f"801e.{SWITCH}", port=5, vlan=30),),
    ),
    Sample(
        "pvst",
        pvst(40, tags=(40,), rapid=True),
        (Bpdu(variant="RPVST+", root=f"8028.{ROUTER}", bridge=f"8028.{SWITCH}", port=5, vlan=40, state="forwarding"),),
        tags=(40,),
        title="rapid",
    ),
    Sample("lldp", lldp(), (SWITCH_SAID,)),
    Sample(
        "lldp",
        lldp(pvid=None, lag=12, clause=3, voice=130),
        (replace(SWITCH_SAID, native_vlan=None, vlan_names=(), lag=12, voice_vlan=130),),
        title="802.3 aggregation and MED",
    ),
    Sample(
        "cdp",
        cdp(),
        (
            Neighbour(
                protocol="CDP",
                name="sw1",
                port="GigabitEthernet0/5",
                platform="cisco WS-C2960",
                roles=("switch",),
                native_vlan=30,
                voice_vlan=130,
                addresses=("10.0.0.2",),
                domain="campus",
            ),
        ),
    ),
    Sample(
        "cdp",
        cdp(version=1, native=None, voice=None, domain=""),
        (
            Neighbour(
                protocol="CDP",
                name="sw1",
                port="GigabitEthernet0/5",
                platform="cisco WS-C2960",
                roles=("switch",),
                addresses=("10.0.0.2",),
            ),
        ),
        title="version 1",
    ),
    Sample(
        "dtp",
        cisco(
            0x2004,
            bytes(
                DTP(
                    tlvlist=[
                        DTPDomain(domain=b"campus\0"),
                        DTPStatus(status=b"\x84"),
                        DTPType(dtptype=b"\xa5"),
                        DTPNeighbor(neighbor=SWITCH),
                    ]
                )
            ),
        ),
        (Remark("dtp", "the switch port is a trunk (DTP auto), VTP domain campus"),),
    ),
    Sample(
        "vtp",
        cisco(0x2003, bytes(VTP(ver=1, code=1, domname=b"campus"))),
        (Remark("vtp", "VTP domain campus: the port is a trunk"),),
    ),
    Sample(
        "vtp",
        cisco(0x2003, bytes(VTP(ver=1, code=2, domname=b"campus", vlaninfo=[VTPVlanInfo(vlanid=30, vlanname=b"lab")]))),
        (
            Remark("vtp", "VTP domain campus: the port is a trunk"),
            Neighbour(protocol="VTP", domain="campus", roles=("switch",), vlan_names=((30, "lab"),)),
        ),
        title="subset",
    ),
    Sample(
        "sonmp",
        SONMP,
        (
            Neighbour(
                protocol="SONMP",
                name="10.0.0.2",
                chassis=SWITCH,
                port="1/5",
                roles=("switch",),
                addresses=("10.0.0.2",),
            ),
        ),
    ),
    Sample("udld", UDLD, (Neighbour(protocol="UDLD", name="sw1", chassis="FOC1", port="Gi0/5", roles=("switch",)),)),
    Sample(
        "edp",
        EDP,
        (
            Neighbour(
                protocol="EDP",
                name="ext",
                port="1:5",
                chassis=SWITCH,
                roles=("switch",),
                vlan_names=((30, "lab"),),
                addresses=("10.0.0.2",),
            ),
        ),
    ),
    Sample(
        "fdp",
        FDP,
        (Neighbour(protocol="FDP", name="fdry", port="ethernet1/5", roles=("switch",), platform="FastIron"),),
    ),
    Sample(
        "mndp",
        MNDP,
        (
            Neighbour(
                protocol="MNDP",
                name="tik",
                port="ether5",
                platform="MikroTik CRS326 7.1",
                chassis=SWITCH,
                roles=("router",),
            ),
            Sender("192.168.88.1", "MNDP"),
        ),
    ),
    Sample("lacp", lacp(), (Lacp(system=f"8000.{SWITCH}", key=7, port=5),)),
    Sample(
        "dhcp4",
        dhcp_offer(),
        (
            HeardServer("DHCP server", "192.168.1.1"),
            Subnet("192.168.1.0/24", "DHCP"),
            Gateway("192.168.1.1", "DHCP"),
            Name("lab.example", "DHCP domain"),
        ),
    ),
    Sample(
        "dhcp4",
        bytes(
            Ether(src=HOST, dst="ff:ff:ff:ff:ff:ff")
            / IP(src="10.9.0.1", dst="10.0.0.9")
            / UDP(sport=67, dport=67)
            / BOOTP(op=1, giaddr="10.9.0.1")
            / DHCP(
                options=[
                    ("message-type", "discover"),
                    ("relay_agent_information", b"\x01\x05Gi0/5\x02\x02\x00\x1b"),
                    "end",
                ]
            )
        ),
        (
            HeardServer("DHCP relay", "10.9.0.1"),
            Remark("dhcp", "relay agent information (option 82): circuit Gi0/5, remote 001b"),
        ),
        title="relay",
    ),
    Sample(
        "dhcp6",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:01:00:02")
            / IPv6(src="fe80::1", dst="fe80::2")
            / UDP(sport=547, dport=546)
            / DHCP6_Advertise()
            / DHCP6OptIA_NA(ianaopts=[DHCP6OptIAAddress(addr="2001:db8:1::77")])
            / DHCP6OptDNSDomains(dnsdomains=["lab.example."])
        ),
        (
            HeardServer("DHCPv6 server", "fe80::1"),
            Subnet("2001:db8:1::/64", "DHCPv6 address"),
            Name("lab.example", "DHCPv6 domain"),
        ),
    ),
    Sample(
        "dhcp6",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:01:00:02")
            / IPv6(src="fe80::1", dst="fe80::2")
            / UDP(sport=547, dport=547)
            / DHCP6_RelayForward(linkaddr="2001:db8:2::1")
            / DHCP6OptRelayMsg(message=DHCP6_Advertise())
        ),
        (HeardServer("DHCPv6 relay", "2001:db8:2::1"), HeardServer("DHCPv6 server", "fe80::1")),
        title="relay",
    ),
    Sample(
        "nd",
        ra(),
        (
            Gateway("fe80::1", "RA"),
            Subnet("2001:db8:1::/64", "RA"),
            Remark("ra", "the router asks for an MTU of 9000 bytes"),
            Remark("ra", "name servers 2001:db8:1::53"),
            Name("lab.example", "RA domain"),
        ),
    ),
    Sample(
        "nd",
        bytes(
            Ether(src=HOST, dst="33:33:ff:00:00:01")
            / IPv6(src="2001:db8:1::33", dst="ff02::1:ff00:1")
            / ICMPv6ND_NS(tgt="2001:db8:1::1")
        ),
        (Sender("2001:db8:1::33", "ND"),),
        title="solicitation",
    ),
    Sample(
        "mld",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:00:00:01")
            / IPv6(src="fe80::1", dst="ff02::1", hlim=1)
            / IPv6ExtHdrHopByHop(options=[RouterAlert()])
            / ICMPv6MLQuery()
        ),
        (HeardServer("MLD querier", "fe80::1"),),
    ),
    Sample(
        "igmp",
        ip_frame(IGMP(type=0x11), src="10.1.2.1", dst="224.0.0.1"),
        (Sender("10.1.2.1", "IGMP"), HeardServer("IGMP querier", "10.1.2.1")),
    ),
    Sample(
        "hsrp",
        ip_frame(UDP(sport=1985, dport=1985) / HSRP(group=12, virtualIP="10.1.2.254"), dst="224.0.0.2"),
        (Gateway("10.1.2.254", "HSRP", "group 12"), Sender("10.1.2.3", "HSRP")),
    ),
    Sample(
        "hsrp",
        ip_frame(UDP(sport=1985, dport=1985) / HSRPv2(group=1012, virtualIP="10.1.2.254"), dst="224.0.0.102"),
        (Gateway("10.1.2.254", "HSRP", "group 1012"), Sender("10.1.2.3", "HSRP")),
        title="version 2",
    ),
    Sample(
        "vrrp",
        ip_frame(VRRP(vrid=12, addrlist=["10.1.2.254"]), dst="224.0.0.18", proto=112),
        (Gateway("10.1.2.254", "VRRP", "group 12"), Sender("10.1.2.3", "VRRP")),
    ),
    Sample(
        "vrrp",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:00:00:12")
            / IPv6(src="fe80::1", dst="ff02::12", nh=112)
            / VRRPv3(vrid=12, addrlist=["fe80::fe", "2001:db8:1::fe"])
        ),
        (Gateway("fe80::fe", "VRRP", "group 12"), Gateway("2001:db8:1::fe", "VRRP", "group 12")),
        title="version 3, IPv6",
    ),
    Sample(
        "vrrp",
        ip_frame(VRRPv3(vrid=12, addrlist=["10.1.2.254"]), dst="224.0.0.18", proto=112),
        (Gateway("10.1.2.254", "VRRP", "group 12"), Sender("10.1.2.3", "VRRP")),
        title="version 3, IPv4",
    ),
    Sample(
        "vrrp",
        ip_frame(CARP, dst="224.0.0.18", proto=112),
        (
            Remark("carp", "CARP group 7: firewalls share an address, which CARP keeps secret"),
            Sender("10.1.2.3", "CARP"),
        ),
        title="CARP",
    ),
    Sample("glbp", GLBP, (Gateway("10.1.2.254", "GLBP", "group 12"), Sender("10.1.2.3", "GLBP"))),
    Sample(
        "ospf",
        ip_frame(OSPF_Hdr(src="10.0.0.9", area="0.0.0.1") / OSPF_Hello(mask="255.255.255.0"), proto=89),
        (
            Routing("OSPFv2", "10.1.2.3", "router 10.0.0.9 area 0.0.0.1"),
            Sender("10.1.2.3", "OSPF"),
            Subnet("10.1.2.0/24", "OSPF"),
        ),
    ),
    Sample(
        "ospf",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:00:00:05")
            / IPv6(src="fe80::1", dst="ff02::5", nh=89)
            / OSPFv3_Hdr(src="10.0.0.9")
            / OSPFv3_Hello()
        ),
        (Routing("OSPFv3", "fe80::1", "router 10.0.0.9 area 0.0.0.0"),),
        title="version 3",
    ),
    Sample(
        "eigrp",
        ip_frame(EIGRP(asn=100), dst="224.0.0.10", proto=88),
        (Routing("EIGRP", "10.1.2.3", "AS 100"), Sender("10.1.2.3", "EIGRP")),
    ),
    Sample(
        "rip",
        ip_frame(UDP(sport=520, dport=520) / RIP(cmd=2, version=2) / RIPEntry(addr="10.7.0.0"), dst="224.0.0.9"),
        (Routing("RIPv2", "10.1.2.3"), Sender("10.1.2.3", "RIP")),
    ),
    Sample(
        "rip",
        bytes(
            Ether(src=ROUTER, dst="33:33:00:00:00:09")
            / IPv6(src="fe80::1", dst="ff02::9")
            / UDP(sport=521, dport=521)
            / RIPng(cmd=2)
        ),
        (Routing("RIPng", "fe80::1"),),
        title="IPv6",
    ),
    Sample(
        "pim",
        ip_frame(PIMv2Hdr(type=0) / PIMv2Hello(option=[PIMv2HelloHoldtime()]), dst="224.0.0.13", proto=103),
        (Routing("PIM", "10.1.2.3"), Sender("10.1.2.3", "PIM")),
    ),
    Sample(
        "names",
        ip_frame(
            UDP(sport=5353, dport=5353) / DNS(qr=1, aa=1, an=DNSRR(rrname="box.local.", rdata="10.1.2.3")),
            dst="224.0.0.251",
        ),
        (Sender("10.1.2.3", "mDNS"), Name("box.local", "mDNS")),
    ),
    Sample(
        "names",
        ip_frame(
            UDP(sport=5355, dport=40000)
            / LLMNRResponse(qr=1, qd=DNSQR(qname="box"), an=DNSRR(rrname="box", rdata="10.1.2.3")),
            dst="10.1.2.4",
        ),
        (Sender("10.1.2.3", "LLMNR"), Name("box", "LLMNR")),
        title="LLMNR",
    ),
    Sample(
        "names",
        ip_frame(UDP(sport=40000, dport=5355) / LLMNRQuery(qd=DNSQR(qname="box")), dst="224.0.0.252"),
        (Sender("10.1.2.3", "LLMNR"),),
        title="LLMNR question",
    ),
    Sample(
        "names",
        ip_frame(
            UDP(sport=137, dport=137)
            / NBNSHeader(OPCODE=5, QDCOUNT=1, ARCOUNT=1)
            / NBNSRegistrationRequest(QUESTION_NAME="SCADA1", NB_ADDRESS="10.1.2.3"),
            dst="10.1.2.255",
        ),
        (Sender("10.1.2.3", "NBNS"), Name("SCADA1", "NBNS")),
        title="NetBIOS",
    ),
    Sample(
        "eapol",
        bytes(Ether(src=SWITCH, dst="01:80:c2:00:00:03") / EAPOL(version=2, type=0) / b"\x01\x01\x00\x05\x01"),
        (Remark("eapol", "802.1X: the port may stay closed until somebody logs in (EAPOL EAP)"),),
    ),
)
