"""The site file as written: one model per kind of entry. Their texts become the schema and the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from bascule.model.dialects import persistent
from bascule.model.host_links import NOWHERE_TO
from bascule.model.values import IfName
from bascule.site import scalars as s
from bascule.site.document.bonds import Bond
from bascule.site.document.links import (
    Bridge,
    DeclaredPort,
    Fdb,
    Guard,
    HostLink,
    Native,
    Nic,
    PortFlags,
    Switch,
    VlanLink,
    WiredLink,
)
from bascule.site.document.routing import LinkRoute, PolicyRule, Route
from bascule.site.entry import Before, Entry, Listed, Many, Named, NamedLink, Shorthand, as_list, key
from bascule.site.findings import shown

__all__ = [
    "Bond",
    "Bridge",
    "DeclaredPort",
    "Document",
    "Entry",
    "HostLink",
    "LinkRoute",
    "Network",
    "Nic",
    "PolicyRule",
    "PortFlags",
    "Route",
    "Switch",
    "VlanLink",
    "WiredLink",
]


class Network(Entry, noun="a network"):
    """A layer-2 network that exists in the building."""

    subnet: Many[s.Subnet] = key((), description="Its subnet, or a list of them, IPv4 and IPv6 alike.")
    gateway: Many[s.Address] = key((), description="The router that leads out of it, one per address family.")
    vlan: s.VlanId | None = key(None, description="The VLAN tag with which it arrives; left out where untagged.")
    mtu: s.Mtu | None = key(
        None, description="The largest packet that it passes, in bytes; links on it that name none get this one."
    )


class Forward(Entry, noun="a port forward"):
    """A port of the host that leads to a guest behind it."""

    host: s.Port = key(description="The port on the host.")
    to: s.Label = key(description="The guest; it has a NIC on this virtual network.")
    service: s.Served = key(description="The guest's port.")


MODES = ("nat", "routed", "isolated", "open")


class VirtualNetwork(Entry, noun="a virtual network"):
    """A host-only network in one of libvirt's modes. The host takes the first address of each subnet."""

    mode: Annotated[str, s.choice(*MODES, noun="a mode of a virtual network")] = key(
        description="nat: out under the host's address; routed: out under their own; isolated: not out at all; "
        "open: as routed, without any firewall rule."
    )
    subnet: Many[s.Subnet] = key((), description="Its subnet, or a list of them. nat and routed need one.")
    dhcp: s.SpanWord | None = key(None, description="The IPv4 addresses that the host hands out, both ends included.")
    mtu: s.Mtu | None = key(None, description="The largest packet of its guests and its bridge, in bytes; 1500 else.")
    forwards: Listed[Forward] = key((), description="Ports of the host that lead to guests (nat and routed).")


LINK_TABLES = {"nics": "NIC", "bonds": "bond", "vlans": "VLAN link", "bridges": "bridge"}  # and what one is called


class RouteHop(Entry, noun="a way of a route"):
    """One of several ways of a route."""

    router: s.Address = key(description="The router.")
    link: s.LinkName = key(description="The link to it: a NIC, bond, VLAN link or bridge of the host.")
    weight: s.Weight = key(1, description="Its share of the connections, beside those of the others.")
    onlink: s.Boolean = key(False, description="The router is a neighbour though no prefix there holds it.")


class HostRoute(Entry, noun="a route of the whole host"):
    """A route that stands on no single link: one that leads nowhere, or one by several routers."""

    to: s.Subnet = key(description="The network.")
    type: Annotated[str, s.choice(*NOWHERE_TO, noun="a type of route")] | None = key(
        None,
        description="It leads nowhere: packets are dropped (blackhole), refused (unreachable, prohibit), or the next "
        "rule is asked (throw).",
    )
    via: Listed[RouteHop] = key((), description="Two routers or more, among which connections are divided.")
    metric: s.Metric | None = key(None, description="Of several routes to one network the lowest is used.")
    table: s.Table | None = key(None, description="The routing table, where it is not the main one (see `rules`).")


class Host(Entry, noun="a host"):
    """A machine that runs guests."""

    memory: s.Size | None = key(None, description="Its memory, as KiB, MiB, GiB or TiB.")
    persist: Annotated[str, s.choice(*persistent(), "none", noun="a configuration system")] | None = key(
        None, description="The configuration system that keeps the network over a reboot; found out if not given."
    )
    as_found: s.Boolean = key(
        False,
        description="What exists already keeps its bridge options, MACs and IPv6 settings; "
        "Bascule's own defaults are put only on what it makes.",
    )
    nics: NamedLink[Nic] = key({}, description="Its NICs, by the kernel's name.")
    bonds: NamedLink[Bond] = key({}, description="Its bonds, by name.")
    vlans: NamedLink[VlanLink] = key({}, description="VLAN links (802.1Q) of its own, by name.")
    bridges: NamedLink[Bridge] = key({}, description="Its bridges, by name.")
    rules: Listed[PolicyRule] = key((), description="Policy routing: which packets use which routing table.")
    routes: Listed[HostRoute] = key((), description="Routes that lead nowhere, or by several routers.")
    virtual_networks: Named[VirtualNetwork] = key({}, description="Its host-only networks.")
    serves: Listed[s.Served] = key((), description="The ports on which the host itself answers.")
    guard: Guard | None = key(None, description="The guard of its guests where neither NIC nor bridge names one.")

    def links(self) -> Iterator[tuple[str, str, IfName, HostLink]]:
        """Its links with the key of their table, what one of them is called, and the name."""
        for table, noun in LINK_TABLES.items():
            for name, link in getattr(self, table).items():
                yield table, noun, name, link

    def link(self, name: str | None) -> HostLink | None:
        """One of them by its name."""
        own = IfName(name or "")
        return self.nics.get(own) or self.bonds.get(own) or self.vlans.get(own) or self.bridges.get(own)


LIBERTIES = ("router", "dhcp-server", "multicast-querier", "tags", "bpdu")


class Also(Entry, noun="a further address", alone="address"):
    """A further address that a guest may use: alone, or as one that a group of routers shares."""

    address: Many[s.AlsoAddress] = key((), description="An address, a subnet behind the guest, or a list of them.")
    vrrp: s.GroupNumber | None = key(None, description="The VRID of VRRP, where it is a virtual address.")
    hsrp: s.GroupNumber | None = key(None, description="The group of HSRP, where it is a virtual address.")
    carp: s.GroupNumber | None = key(None, description="The VHID of CARP, where it is a virtual address.")


class Limit(Entry, noun="a limit"):
    """How much a guest may send and get, and how much of what reaches every other guest."""

    up: s.BitRate | None = key(None, description="What it may send, in bits of Ethernet frames a second, as 100Mbit.")
    down: s.BitRate | None = key(None, description="What it may get, as 1Gbit.")
    broadcast: s.FrameRate | None = key(None, description="Broadcast frames that it may send, as 100/s.")
    multicast: s.FrameRate | None = key(None, description="Multicast frames that it may send, as 100/s.")


class GuestNic(Entry, noun="a NIC of a guest"):
    """A NIC of a guest, plugged into exactly one of bridge, network and direct."""

    bridge: s.LinkName | None = key(None, description="The bridge of the guest's host.")
    network: s.Label | None = key(None, description="The virtual network of the guest's host.")
    direct: s.LinkName | None = key(None, description="The NIC of the guest's host that it shares (macvtap).")
    mac: s.GuestMac | None = key(None, description="Its MAC; derived from site, host, guest and index if not given.")
    address: Many[s.NicAddress] = key((), description="The guest's address, 'dhcp', or a list of them.")
    tap: s.LinkName | None = key(None, description="The name of its tap on the host, in place of the derived one.")
    vlan: s.VlanId | None = key(
        None,
        description="Its VLAN on a VLAN-aware bridge (access port); beside `vlans`, what it sends untagged "
        "(Open vSwitch).",
    )
    vlans: Many[s.VlanRange] = key((), description="Its VLANs on a VLAN-aware bridge (trunk port).")
    native: Native | None = key(
        None,
        description="Whether it gets frames of `vlan` untagged, as usual, or tagged beside `vlans` (Open vSwitch).",
    )
    guard: Guard | None = key(
        None,
        description="strict: it sends from its own MAC and addresses only; mac: from its own MAC; off: it is trusted.",
    )
    fdb: Fdb | None = key(
        None,
        description="static: its MACs are static FDB entries, its port learns none and nothing unknown is flooded "
        "to it; learned: as any port; left as it is if not given.",
    )
    also: Many[Annotated[Also, Shorthand("10.0.0.100", "10.8.0.0/24")]] = key(
        (), description="Further addresses that it may use behind a guard."
    )
    macs: Many[s.MacOrNumber] = key(
        (), description="Further MACs that it may use behind a guard, of guests inside it; or only how many there are."
    )
    may: Many[Annotated[str, s.choice(*LIBERTIES, noun="something that a guard lets through")]] = key(
        (), description="What a guard lets through beside its own traffic."
    )
    isolated: s.Isolation | None = key(
        None,
        description="It reaches no other isolated guest of its bridge, or, where this is the name of a group, none "
        "outside of it; with a guard none of its network, on whatever host. If not given, the port's flag is left as "
        "it is, unless Bascule had set it.",
    )
    limit: Limit | None = key(None, description="How much it may send and get.")


class Guest(Entry, noun="a guest"):
    """A virtual server."""

    host: s.Label = key(description="The host that runs it.")
    memory: s.Size | None = key(None, description="Its memory, as KiB, MiB, GiB or TiB.")
    vcpus: s.Count = key(1, description="Its virtual processors.")
    disk: Many[s.Text] = key((), description="Its disk, an image file or a block device, or a list of them.")
    iso: s.Text | None = key(None, description="The image of its CD drive, to install from.")
    kernel: s.Text | None = key(None, description="A kernel to start without a boot loader.")
    initrd: s.Text | None = key(None, description="The initramfs of that kernel.")
    cmdline: s.Text | None = key(None, description="The command line of that kernel.")
    nics: Listed[GuestNic] = key((), description="Its NICs, in order.")
    autostart: s.Boolean | None = key(
        None, description="Whether libvirt starts it with the host; without the key it stays as it is."
    )
    serves: Listed[s.Served] = key((), description="The ports on which it answers.")


class MachineNic(Entry, noun="a NIC of a machine"):
    """A machine's connection to a network."""

    network: s.Label = key(description="The network that it is on.")
    address: Many[s.NicAddress] = key((), description="Its address, 'dhcp', or a list of them.")
    mac: s.MacWord | None = key(None, description="Its MAC, where it matters.")
    mtu: s.Mtu | None = key(None, description="Bytes; the network's if not given, else 1500.")
    routes: Listed[Route] = key((), description="Static routes to networks behind other routers than the gateway.")


class Dhcp(Entry, noun="a DHCP server"):
    """A DHCP and DNS server that the machine runs."""

    network: s.Label = key(description="The network that it serves; the machine has a NIC on it.")
    range: s.SpanWord = key(description="The IPv4 addresses that it hands out, both ends included.")


class Masquerade(Entry, noun="a masquerade"):
    """Who may go out through the machine, seen under the machine's address."""

    from_: Many[s.Label] = key(alias="from", description="Guests, machines, hosts or networks.")
    to: s.Label = key(description="The network outside.")


class Flow(Entry, noun="a flow"):
    """What a machine lets through from one side to the other, and the answers to it."""

    from_: Many[s.Label] = key(alias="from", description="Guests, machines, hosts or networks; 'all' is everybody.")
    to: Many[s.Label] = key(description="To whom: guests, machines, hosts or networks; 'all' is everybody.")
    service: s.ServiceWord | None = key(None, description="What is let through; everything if not given.")


FORWARD_ALL, FORWARD_NONE = "all", "none"


def _as_flows(value: object) -> object:
    if value == FORWARD_ALL:
        return ({"from": FORWARD_ALL, "to": FORWARD_ALL},)
    if value == FORWARD_NONE:
        return ()
    if isinstance(value, str):
        hint = "write 'all', 'none', or [{from: office, to: dmz, service: tcp/443}]"
        raise s.Fault("TYPE", f"{shown(value)} does not say what is forwarded", hint)
    return as_list(value)


Flows = Annotated[tuple[Flow, ...], Before(_as_flows), Shorthand(FORWARD_ALL, FORWARD_NONE, only=True)]


class Machine(Entry, noun="a machine"):
    """What else is on the networks: never touched, played in the twin."""

    nics: Listed[MachineNic] = key((), description="Its NICs.")
    dhcp: Dhcp | None = key(None, description="The DHCP and DNS server that it runs.")
    masquerade: Masquerade | None = key(None, description="Whom it lets out under its own address.")
    forwards: Flows | None = key(
        None,
        description="What it routes under the senders' own addresses: 'all', 'none', or a list of flows. "
        "With neither this nor 'masquerade', whether it routes between its networks is not known.",
    )
    serves: Listed[s.Served] = key((), description="The ports on which it answers.")


class Expect(Entry, noun="an expectation"):
    """One access criterion: who must, or must not, reach whom."""

    from_: Many[s.Label] = key(
        alias="from",
        description="Who asks: a guest, host or machine; 'guests', 'hosts', 'machines' or a network for each of its "
        "members.",
    )
    to: Many[s.Label] = key(description="Who is asked: a guest, host or machine, or a group of them.")
    service: s.ServiceWord | None = key(None, description="What is asked: icmp (default), arp, tcp/80, udp/53.")
    verdict: Annotated[str, s.choice("reach", "no-reach", noun="a verdict")] = key(
        description="reach: an answer must come; no-reach: none may come."
    )
    seen_as: s.Label | None = key(None, description="Whose address the target must see (masquerading).")


class Document(Entry, noun="a site file"):
    """The networks of the building, the hosts, their guests, and who must reach whom."""

    site: s.Label = key(description="The site's name; derived MACs depend on it.")
    networks: Named[Network] = key({}, description="The networks that exist in the building.")
    hosts: Named[Host] = key({}, description="The machines that run guests.")
    guests: Named[Guest] = key({}, description="The virtual servers.")
    machines: Named[Machine] = key({}, description="What else is on those networks.")
    expect: Listed[Expect] = key((), description="The access criteria: who must, or must not, reach whom.")
