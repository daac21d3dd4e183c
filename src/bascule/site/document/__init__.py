"""The site file as written: one model per kind of entry. Their texts become the schema and the reference.

No `from __future__ import annotations` here: pydantic would have to compile the text of each of 200 annotations.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from bascule.model.dialects import persistent
from bascule.model.host_links import NOWHERE_TO
from bascule.model.site import Attachment, PlugKind
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
from bascule.site.entry import Entry, Listed, Many, Named, NamedLink, OneOrMany, Shorthand, as_list
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
    "OneOrMany",
    "PolicyRule",
    "PortFlags",
    "Route",
    "Switch",
    "VlanLink",
    "WiredLink",
]


class Network(Entry):
    """A layer-2 network that exists in the building."""

    model_config = ConfigDict(title="a network")

    subnet: Many[s.Subnet] = Field((), description="Its subnet, or a list of them, IPv4 and IPv6 alike.")
    gateway: Many[s.Address] = Field((), description="The router that leads out of it, one per address family.")
    vlan: s.VlanId | None = Field(None, description="The VLAN tag with which it arrives; left out where untagged.")
    mtu: s.Mtu | None = Field(
        None, description="The largest packet that it passes, in bytes; links on it that name none get this one."
    )


class Forward(Entry):
    """A port of the host that leads to a guest behind it."""

    model_config = ConfigDict(title="a port forward")

    host: s.Port = Field(description="The port on the host.")
    to: s.Label = Field(description="The guest; it has a NIC on this virtual network.")
    service: s.Served = Field(description="The guest's port.")


MODES = ("nat", "routed", "isolated", "open")


class VirtualNetwork(Entry):
    """A host-only network in one of libvirt's modes. The host takes the first address of each subnet."""

    model_config = ConfigDict(title="a virtual network")

    mode: Annotated[str, s.choice(*MODES, noun="a mode of a virtual network")] = Field(
        description="nat: out under the host's address; routed: out under their own; isolated: not out at all; "
        "open: as routed, without any firewall rule."
    )
    subnet: Many[s.Subnet] = Field((), description="Its subnet, or a list of them. nat and routed need one.")
    dhcp: s.SpanWord | None = Field(None, description="The IPv4 addresses that the host hands out, both ends included.")
    mtu: s.Mtu | None = Field(None, description="The largest packet of its guests and its bridge, in bytes; 1500 else.")
    forwards: Listed[Forward] = Field((), description="Ports of the host that lead to guests (nat and routed).")


LINK_TABLES = {"nics": "NIC", "bonds": "bond", "vlans": "VLAN link", "bridges": "bridge"}  # and what one is called


class RouteHop(Entry):
    """One of several ways of a route."""

    model_config = ConfigDict(title="a way of a route")

    router: s.Address = Field(description="The router.")
    link: s.LinkName = Field(description="The link to it: a NIC, bond, VLAN link or bridge of the host.")
    weight: s.Weight = Field(1, description="Its share of the connections, beside those of the others.")
    onlink: s.Boolean = Field(False, description="The router is a neighbour though no prefix there holds it.")


class HostRoute(Entry):
    """A route that stands on no single link: one that leads nowhere, or one by several routers."""

    model_config = ConfigDict(title="a route of the whole host")

    to: s.Subnet = Field(description="The network.")
    type: Annotated[str, s.choice(*NOWHERE_TO, noun="a type of route")] | None = Field(
        None,
        description="It leads nowhere: packets are dropped (blackhole), refused (unreachable, prohibit), or the next "
        "rule is asked (throw).",
    )
    via: Listed[RouteHop] = Field((), description="Two routers or more, among which connections are divided.")
    metric: s.Metric | None = Field(None, description="Of several routes to one network the lowest is used.")
    table: s.Table | None = Field(None, description="The routing table, where it is not the main one (see `rules`).")


class Host(Entry):
    """A machine that runs guests."""

    model_config = ConfigDict(title="a host")

    memory: s.Size | None = Field(None, description="Its memory, as KiB, MiB, GiB or TiB.")
    persist: Annotated[str, s.choice(*persistent(), "none", noun="a configuration system")] | None = Field(
        None, description="The configuration system that keeps the network over a reboot; found out if not given."
    )
    as_found: s.Boolean = Field(
        False,
        description="What exists already keeps its bridge options, MACs and IPv6 settings; "
        "Bascule's own defaults are put only on what it makes.",
    )
    nics: NamedLink[Nic] = Field(default_factory=dict, description="Its NICs, by the kernel's name.")
    bonds: NamedLink[Bond] = Field(default_factory=dict, description="Its bonds, by name.")
    vlans: NamedLink[VlanLink] = Field(default_factory=dict, description="VLAN links (802.1Q) of its own, by name.")
    bridges: NamedLink[Bridge] = Field(default_factory=dict, description="Its bridges, by name.")
    rules: Listed[PolicyRule] = Field((), description="Policy routing: which packets use which routing table.")
    routes: Listed[HostRoute] = Field((), description="Routes that lead nowhere, or by several routers.")
    virtual_networks: Named[VirtualNetwork] = Field(default_factory=dict, description="Its host-only networks.")
    serves: Listed[s.Served] = Field((), description="The ports on which the host itself answers.")
    guard: Guard | None = Field(None, description="The guard of its guests where neither NIC nor bridge names one.")

    def links(self) -> Iterator[tuple[str, str, IfName, HostLink]]:
        """Its links with the key of their table, what one of them is called, and the name."""
        for key, noun in LINK_TABLES.items():
            for name, link in getattr(self, key).items():
                yield key, noun, name, link

    def link(self, name: str | None) -> HostLink | None:
        """One of them by its name."""
        own = IfName(name or "")
        return self.nics.get(own) or self.bonds.get(own) or self.vlans.get(own) or self.bridges.get(own)

    def stack(self, name: IfName) -> set[IfName]:
        """A link and all that it stands on, by the names that are in the file."""
        seen: set[IfName] = set()
        queue = [name]
        while queue:
            link = self.link(name := queue.pop())
            if name not in seen:
                queue += link.below if link is not None else ()
            seen.add(name)
        return seen


LIBERTIES = ("router", "dhcp-server", "multicast-querier", "tags", "bpdu")


class Also(Entry, alone="address"):
    """A further address that a guest may use: alone, or as one that a group of routers shares."""

    model_config = ConfigDict(title="a further address")

    address: Many[s.AlsoAddress] = Field((), description="An address, a subnet behind the guest, or a list of them.")
    vrrp: s.GroupNumber | None = Field(None, description="The VRID of VRRP, where it is a virtual address.")
    hsrp: s.GroupNumber | None = Field(None, description="The group of HSRP, where it is a virtual address.")
    carp: s.GroupNumber | None = Field(None, description="The VHID of CARP, where it is a virtual address.")


class Limit(Entry):
    """How much a guest may send and get, and how much of what reaches every other guest."""

    model_config = ConfigDict(title="a limit")

    up: s.BitRate | None = Field(None, description="What it may send, in bits of Ethernet frames a second, as 100Mbit.")
    down: s.BitRate | None = Field(None, description="What it may get, as 1Gbit.")
    broadcast: s.FrameRate | None = Field(None, description="Broadcast frames that it may send, as 100/s.")
    multicast: s.FrameRate | None = Field(None, description="Multicast frames that it may send, as 100/s.")


_PLUGS = tuple(PlugKind)


class GuestNic(Entry):
    """A NIC of a guest, plugged into exactly one of bridge, network and direct."""

    model_config = ConfigDict(title="a NIC of a guest")

    bridge: s.LinkName | None = Field(None, description="The bridge of the guest's host.")
    network: s.Label | None = Field(None, description="The virtual network of the guest's host.")
    direct: s.LinkName | None = Field(None, description="The NIC of the guest's host that it shares (macvtap).")
    mac: s.GuestMac | None = Field(None, description="Its MAC; derived from site, host, guest and index if not given.")
    address: Many[s.NicAddress] = Field((), description="The guest's address, 'dhcp', or a list of them.")
    tap: s.LinkName | None = Field(None, description="The name of its tap on the host, in place of the derived one.")
    vlan: s.VlanId | None = Field(
        None,
        description="Its VLAN on a VLAN-aware bridge (access port); beside `vlans`, what it sends untagged "
        "(Open vSwitch).",
    )
    vlans: Many[s.VlanRange] = Field((), description="Its VLANs on a VLAN-aware bridge (trunk port).")
    native: Native | None = Field(
        None,
        description="Whether it gets frames of `vlan` untagged, as usual, or tagged beside `vlans` (Open vSwitch).",
    )
    guard: Guard | None = Field(
        None,
        description="strict: it sends from its own MAC and addresses only; mac: from its own MAC; off: it is trusted.",
    )
    fdb: Fdb | None = Field(
        None,
        description="static: its MACs are static FDB entries, its port learns none and nothing unknown is flooded "
        "to it; learned: as any port; left as it is if not given.",
    )
    also: Many[Annotated[Also, Shorthand("10.0.0.100", "10.8.0.0/24")]] = Field(
        (), description="Further addresses that it may use behind a guard."
    )
    macs: Many[s.MacOrNumber] = Field(
        (), description="Further MACs that it may use behind a guard, of guests inside it; or only how many there are."
    )
    may: Many[Annotated[str, s.choice(*LIBERTIES, noun="something that a guard lets through")]] = Field(
        (), description="What a guard lets through beside its own traffic."
    )
    isolated: s.Isolation | None = Field(
        None,
        description="It reaches no other isolated guest of its bridge, or, where this is the name of a group, none "
        "outside of it; with a guard none of its network, on whatever host. If not given, the port's flag is left as "
        "it is, unless Bascule had set it.",
    )
    limit: Limit | None = Field(None, description="How much it may send and get.")

    @property
    def plug(self) -> Attachment | None:
        """What it is plugged into, the first where the file names several; None where it names nothing."""
        return next((Attachment(kind, into) for kind in _PLUGS if (into := getattr(self, kind)) is not None), None)


class Guest(Entry):
    """A virtual server."""

    model_config = ConfigDict(title="a guest")

    host: s.Label = Field(description="The host that runs it.")
    memory: s.Size | None = Field(None, description="Its memory, as KiB, MiB, GiB or TiB.")
    vcpus: s.Count = Field(1, description="Its virtual processors.")
    disk: Many[s.Text] = Field((), description="Its disk, an image file or a block device, or a list of them.")
    iso: s.Text | None = Field(None, description="The image of its CD drive, to install from.")
    kernel: s.Text | None = Field(None, description="A kernel to start without a boot loader.")
    initrd: s.Text | None = Field(None, description="The initramfs of that kernel.")
    cmdline: s.Text | None = Field(None, description="The command line of that kernel.")
    nics: Listed[GuestNic] = Field((), description="Its NICs, in order.")
    autostart: s.Boolean | None = Field(
        None, description="Whether libvirt starts it with the host; without the key it stays as it is."
    )
    serves: Listed[s.Served] = Field((), description="The ports on which it answers.")


class MachineNic(Entry):
    """A machine's connection to a network."""

    model_config = ConfigDict(title="a NIC of a machine")

    network: s.Label = Field(description="The network that it is on.")
    address: Many[s.NicAddress] = Field((), description="Its address, 'dhcp', or a list of them.")
    mac: s.MacWord | None = Field(None, description="Its MAC, where it matters.")
    mtu: s.Mtu | None = Field(None, description="Bytes; the network's if not given, else 1500.")
    routes: Listed[Route] = Field((), description="Static routes to networks behind other routers than the gateway.")


class Dhcp(Entry):
    """A DHCP and DNS server that the machine runs."""

    model_config = ConfigDict(title="a DHCP server")

    network: s.Label = Field(description="The network that it serves; the machine has a NIC on it.")
    range: s.SpanWord = Field(description="The IPv4 addresses that it hands out, both ends included.")


class Masquerade(Entry):
    """Who may go out through the machine, seen under the machine's address."""

    model_config = ConfigDict(title="a masquerade")

    from_: Many[s.Label] = Field(alias="from", description="Guests, machines, hosts or networks.")
    to: s.Label = Field(description="The network outside.")


class Flow(Entry):
    """What a machine lets through from one side to the other, and the answers to it."""

    model_config = ConfigDict(title="a flow")

    from_: Many[s.Label] = Field(alias="from", description="Guests, machines, hosts or networks; 'all' is everybody.")
    to: Many[s.Label] = Field(description="To whom: guests, machines, hosts or networks; 'all' is everybody.")
    service: s.ServiceWord | None = Field(None, description="What is let through; everything if not given.")


FORWARD_ALL, FORWARD_NONE = "all", "none"


def _as_flows(value: object) -> object:
    if value == FORWARD_ALL:
        return ({"from": FORWARD_ALL, "to": FORWARD_ALL},)
    if value == FORWARD_NONE:
        return ()
    if isinstance(value, str):
        hint = "write 'all', 'none', or [{from: office, to: dmz, service: tcp/443}]"
        raise s.fault("TYPE", f"{shown(value)} does not say what is forwarded", hint)
    return as_list(value)


class AllOrNoneShorthand:
    """``all`` and ``none`` stand for every flow and for no flow."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "enum": [FORWARD_ALL, FORWARD_NONE]}, handler(schema)]}


Flows = Annotated[tuple[Flow, ...], BeforeValidator(_as_flows), AllOrNoneShorthand]


class Machine(Entry):
    """What else is on the networks: never touched, played in the twin."""

    model_config = ConfigDict(title="a machine")

    nics: Listed[MachineNic] = Field((), description="Its NICs.")
    dhcp: Dhcp | None = Field(None, description="The DHCP and DNS server that it runs.")
    masquerade: Masquerade | None = Field(None, description="Whom it lets out under its own address.")
    forwards: Flows | None = Field(
        None,
        description="What it routes under the senders' own addresses: 'all', 'none', or a list of flows. "
        "With neither this nor 'masquerade', whether it routes between its networks is not known.",
    )
    serves: Listed[s.Served] = Field((), description="The ports on which it answers.")


class Expect(Entry):
    """One access criterion: who must, or must not, reach whom."""

    model_config = ConfigDict(title="an expectation")

    from_: Many[s.Label] = Field(
        alias="from",
        description="Who asks: a guest, host or machine; 'guests', 'hosts', 'machines' or a network for each of its "
        "members.",
    )
    to: Many[s.Label] = Field(description="Who is asked: a guest, host or machine, or a group of them.")
    service: s.ServiceWord | None = Field(None, description="What is asked: icmp (default), arp, tcp/80, udp/53.")
    verdict: Annotated[str, s.choice("reach", "no-reach", noun="a verdict")] = Field(
        description="reach: an answer must come; no-reach: none may come."
    )
    seen_as: s.Label | None = Field(None, description="Whose address the target must see (masquerading).")


class Document(Entry):
    """The networks of the building, the hosts, their guests, and who must reach whom."""

    model_config = ConfigDict(title="a site file")

    site: s.Label = Field(description="The site's name; derived MACs depend on it.")
    networks: Named[Network] = Field(default_factory=dict, description="The networks that exist in the building.")
    hosts: Named[Host] = Field(default_factory=dict, description="The machines that run guests.")
    guests: Named[Guest] = Field(default_factory=dict, description="The virtual servers.")
    machines: Named[Machine] = Field(default_factory=dict, description="What else is on those networks.")
    expect: Listed[Expect] = Field((), description="The access criteria: who must, or must not, reach whom.")

    def bridge_of(self, host: str, nic: GuestNic) -> Bridge | None:
        """The bridge that a guest's NIC is plugged into, where the host is declared and has it."""
        entry = self.hosts.get(host)
        return entry.bridges.get(nic.bridge) if entry is not None and nic.bridge is not None else None
