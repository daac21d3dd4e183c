"""Random but sensible network configurations for the properties, and the ones that every dialect must say."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import NOWHERE_TO, HostRoute, Ipv6, Ipv6Privacy, PolicyRule
from bascule.model.links import Bond, Bridge, BridgePort, LinkOptions, Physical, Vlan
from bascule.model.links.bond import WORDS
from bascule.model.state import PortVlans
from bascule.model.values import IfName, Mac, Vid
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute

MACS = st.integers(0, 2**24 - 1).map(lambda n: Mac(f"52:54:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"))
V4 = st.builds(lambda a, b, p: f"10.{a}.{b}.7/{p}", st.integers(0, 255), st.integers(0, 255), st.integers(8, 32))
V6 = st.builds(lambda a, p: f"2001:db8:{a:x}::7/{p}", st.integers(1, 65535), st.integers(48, 128))
DOMAINS = st.lists(st.sampled_from(["example.org", "lab.example.org"]), unique=True, max_size=2).map(tuple)


def _as_the_kernel_keeps_it(bridge: Bridge) -> Bridge:
    """With a spanning tree a port waits for two seconds at least (net/bridge/br_stp_if.c)."""
    return replace(bridge, forward_delay=max(bridge.forward_delay or 0, 200)) if bridge.stp_state else bridge


PLAIN_BRIDGE = st.builds(
    Bridge,
    stp_state=st.integers(0, 1),
    forward_delay=st.sampled_from([0, 200, 1500]),
    hello_time=st.sampled_from([200, 1000]),
    max_age=st.sampled_from([2000, 4000]),
    ageing_time=st.sampled_from([0, 30000]),
    priority=st.sampled_from([32768, 4096]),
    mcast_snooping=st.integers(0, 1),
    mcast_querier=st.integers(0, 1),
).map(_as_the_kernel_keeps_it)
ANY_BRIDGE = st.builds(
    Bridge,
    stp_state=st.integers(0, 1),
    forward_delay=st.sampled_from([0, 250, 1500]),
    vlan_filtering=st.integers(0, 1),
    vlan_default_pvid=st.sampled_from([0, 1, 99]),
    mcast_snooping=st.integers(0, 1),
).map(_as_the_kernel_keeps_it)
PORTS = st.builds(
    lambda usual, odd: BridgePort(**{**usual, **odd}),
    st.fixed_dictionaries(
        {
            "priority": st.sampled_from([32, 0, 63]),
            "cost": st.sampled_from([None, 4, 100]),
            "hairpin": st.booleans(),
        }
    ),
    st.sampled_from(
        [
            {},
            {"isolated": True, "learning": False},
            {"guard": True, "root_block": True, "fastleave": True},
            {"flood": False, "mcast_flood": False, "mcast_to_unicast": True, "neigh_suppress": True},
            {"bcast_flood": False},
            {"locked": True},
        ]
    ),
)
BONDS = st.builds(
    Bond,
    mode=st.sampled_from(WORDS["mode"]),
    miimon=st.sampled_from([0, 100]),
    updelay=st.sampled_from([0, 200]),
    downdelay=st.sampled_from([0, 300]),
    xmit_hash_policy=st.sampled_from(WORDS["xmit_hash_policy"][:3]),
    ad_lacp_rate=st.sampled_from(["slow", "fast"]),
    ad_select=st.sampled_from(WORDS["ad_select"]),
    min_links=st.sampled_from([0, 2]),
    primary=st.sampled_from([None, "eth0"]),  # a member, wherever there is a bond
)

CLIENT_IDS = st.none() | st.builds(
    ClientId,
    by_mac=st.booleans(),
    iaid=st.none() | st.integers(0, 2**32 - 1),
    duid=st.sampled_from(["", "", "000300015254000000aa", "0004" + "ab" * 16]),
)


@st.composite
def routes(draw: st.DrawFn) -> StaticRoute:
    """A default gateway, or something with everything."""
    six = draw(st.booleans())
    gateway = "2001:db8::1" if six else "10.0.0.1"
    if draw(st.booleans()):
        return StaticRoute(dst="::/0" if six else "0.0.0.0/0", gateway=gateway)
    return StaticRoute(
        dst=draw(
            st.sampled_from(["2001:db8:ff::/48", "::/0"] if six else ["172.16.0.0/12", "0.0.0.0/0", "10.9.9.9/32"])
        ),
        gateway=draw(st.sampled_from([gateway, ""])),
        metric=draw(st.sampled_from([0, 50])),
        table=draw(st.sampled_from([254, 100])),
        prefsrc=draw(st.sampled_from(["", "2001:db8::7" if six else "10.0.0.7"])),
        onlink=draw(st.booleans()),
    )


RULES = st.builds(
    lambda fwmark, iif, ends, leads_to, priority, more: PolicyRule(
        priority=priority,
        **leads_to,
        source=ends[0] and ip_network(ends[0]),
        to=ends[1] and ip_network(ends[1]),
        iif=iif,
        fwmark=fwmark,
        ipv6=":" in f"{ends}",
        **more,
    ),
    st.sampled_from([None, "0x10", "0x1/0xff", "0/0xffffffff"]),
    st.sampled_from([None, "eth0", "lo"]),
    st.sampled_from(
        [("10.20.0.0/24", None), (None, "10.9.9.9/32"), ("2001:db8::/48", "2001:db8:1::/48"), (None, None)]
    ),
    st.sampled_from([{"table": 52}, {"table": 254}, {"action": "prohibit"}]),
    st.sampled_from([1000, 32000]),
    st.sampled_from(
        [
            {},
            {"inverted": True, "suppress_prefixlength": 0},
            {"ipproto": "tcp", "dport": "8000-8100", "uidrange": "1000-1999"},
            {"ipproto": "udp", "sport": "53", "oif": "eth0"},
        ]
    ),
)


NOWHERE = st.builds(
    HostRoute,
    to=st.sampled_from(["10.66.0.0/16", "2001:db8:66::/48", "192.0.2.0/24"]).map(ip_network),
    type=st.sampled_from(NOWHERE_TO),
    metric=st.sampled_from([None, 7]),
    table=st.sampled_from([None, 100]),
)
UNUSED = st.frozensets(st.tuples(st.sampled_from(list(Offer)), st.sampled_from([4, 6])), max_size=4)


@st.composite
def address_part(draw: st.DrawFn, *, rich: bool) -> dict[str, Any]:
    """What a link that is nobody's port may have."""
    dhcp = draw(st.booleans())
    both = rich and draw(st.integers(0, 3)) == 0  # what some dialects have no word for: now and then
    v4 = draw(st.lists(V4, max_size=3)) if both or not dhcp else []
    v6 = draw(st.lists(V6, max_size=2))
    servers = [text for text in ("10.0.0.53", "2001:db8::53") if both or (v6 if ":" in text else v4 or dhcp)]
    return {
        "dhcp4": dhcp,
        "client_id": draw(CLIENT_IDS) if rich else None,
        "metric": draw(st.sampled_from([None, 200])) if dhcp else None,
        "unused": draw(UNUSED),
        "ipv6": draw(st.sampled_from(list(Ipv6))),
        "ipv6_privacy": draw(st.sampled_from([None, *([*Ipv6Privacy] if rich else [Ipv6Privacy.OFF])])),
        "addresses": (*v4, *v6),
        "routes": tuple(draw(st.lists(routes(), max_size=3))) if rich and (v4 or dhcp) else (),
        "dns": tuple(servers) if draw(st.booleans()) else (),
        "search": draw(DOMAINS) if v4 or dhcp else (),
    }


@st.composite
def configs(draw: st.DrawFn, *, rich: bool = True) -> NetworkConfig:
    """A host with NICs, perhaps a bond, perhaps VLANs, and bridges over them."""
    nics = [f"eth{number}" for number in range(draw(st.integers(1, 5)))]
    links: dict[str, dict[str, Any]] = {name: {"options": Physical()} for name in nics}
    free = list(nics)
    if len(free) > 2 and draw(st.booleans()):
        links["bond0"] = {"options": draw(BONDS)}
        for name in free[:2]:
            links[name]["master"] = IfName("bond0")
        free = [*free[2:], "bond0"]
    for parent in draw(st.lists(st.sampled_from(nics), unique=True, max_size=2)):
        if "master" not in links[parent]:
            vid = Vid(draw(st.integers(1, 4094)))
            protocol = draw(st.sampled_from(["802.1Q", "802.1Q", "802.1ad"])) if rich else "802.1Q"
            links[f"{parent}.{vid}"] = {"options": Vlan(id=vid, protocol=protocol), "parent": IfName(parent)}
            free.append(f"{parent}.{vid}")
    for number in range(draw(st.integers(0, 3))):
        options: LinkOptions = draw(ANY_BRIDGE if rich and draw(st.booleans()) else PLAIN_BRIDGE)
        bridge = f"br{number}"
        links[bridge] = {"options": options}
        for _ in range(draw(st.integers(0, 2))):
            if free:
                port = links[free.pop(draw(st.integers(0, len(free) - 1)))]
                port["master"] = IfName(bridge)
                port["port"] = draw(PORTS) if rich and draw(st.booleans()) else None
                if rich and draw(st.booleans()):
                    port["vlans"] = (
                        PortVlans(first=10, last=10, pvid=True, untagged=True),
                        PortVlans(first=20, last=29),
                    )
    built = []
    for name, fields in links.items():
        if name in nics:
            fields["pin_mac"] = draw(st.none() | MACS)
            fields["wol"] = draw(st.sampled_from([None] * 3 + [(), ("magic",), ("magic", "unicast")])) if rich else None
            fields["pin_path"] = draw(st.sampled_from([None] * 5 + ["pci-0000:03:00.0"])) if rich else None
        fields["mac"] = draw(st.none() | MACS)
        fields["mtu"] = draw(st.sampled_from([None, 1500, 9000]))
        fields["onboot"] = draw(st.sampled_from([True, True, False]))
        built.append(LinkConfig(name=IfName(name), **fields, **draw(address_part(rich=rich))))
    unmanaged = draw(st.sampled_from([(), ("tap*", "vnet*"), ("guest_01.0", "vnet*")]))
    nowhere = draw(st.lists(NOWHERE, max_size=2)) if rich else []
    return NetworkConfig.of(built, unmanaged, draw(st.lists(RULES, max_size=2)), nowhere)


def nic(name: str, **fields: Any) -> LinkConfig:
    """A NIC."""
    return LinkConfig(name=IfName(name), **fields)


def bridge(name: str, **fields: Any) -> LinkConfig:
    """A bridge as Bascule wants it for guests."""
    return LinkConfig(name=IfName(name), options=Bridge(forward_delay=0, mcast_snooping=0), **fields)


def recipe() -> NetworkConfig:
    """The production scenario."""
    return NetworkConfig.of(
        [
            nic("eth2", addresses=("192.168.1.10/24",), dns=("192.168.1.1",)),
            nic(
                "eth3",
                addresses=("129.230.1.10/16",),
                routes=(StaticRoute(dst="0.0.0.0/0", gateway="129.230.0.1"),),
            ),
            nic("eth4", master=IfName("br3")),
            nic("eth5", master=IfName("br4")),
            bridge("br3", mac=Mac("52:54:00:00:00:04")),
            bridge("br4", mac=Mac("52:54:00:00:00:05")),
        ],
        ["vnet*", "tap*"],
    )


def large(bridges: int = 1000, ports: int = 5) -> NetworkConfig:
    """Many bridges with many ports each."""
    links = []
    for number in range(bridges):
        links.append(bridge(f"br{number}", mac=Mac(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}")))
        links += [nic(f"e{number}p{port}", master=IfName(f"br{number}"), mtu=9000) for port in range(ports)]
    return NetworkConfig.of(links, ["vnet*", "tap*"])
