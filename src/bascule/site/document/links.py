"""The links of a host as the site file writes them: what they share, and the keys of each kind."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bascule.model import links
from bascule.model.host_links import Ipv6, Ipv6Privacy
from bascule.model.links import BRIDGES
from bascule.model.links.wake_on_lan import MODES, OFF
from bascule.model.values import IfName
from bascule.site import scalars as s
from bascule.site.document.routing import LinkRoute
from bascule.site.entry import Entry, Listed, Many, Shorthand
from bascule.site.findings import shown
from bascule.site.parsers import NO_UPLINK


class Switch(Entry):
    """The cabling as it should be: the switch port that a NIC is plugged into."""

    model_config = ConfigDict(title="a switch port")

    name: s.Text = Field(description="The switch's name, as in its LLDP frames.")
    port: s.Text = Field(description="The port's name on that switch.")


HOOK_WORDS = ("pre-up", "up", "post-up", "down", "pre-down", "post-down")


def _hook_line(value: object) -> object:
    """A line of interfaces(5) that has a command run."""
    word, _, command = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if word not in HOOK_WORDS or not command.strip() or not str(value).isprintable() or str(value).endswith("\\"):
        raise s.fault("HOOK", f"{shown(value)} is not a line with a command", "write one line, as 'up COMMAND'")
    return value


class AsFound(Entry):
    """Lines of a host's own configuration that are kept as they stand, for the system that they are of."""

    model_config = ConfigDict(title="what is kept as it was found")

    ifupdown: Many[Annotated[s.Text, BeforeValidator(_hook_line)]] = Field(
        (),
        description="Lines of its stanza in /etc/network/interfaces that run a command, as 'up COMMAND'.",
    )


class HostLink(Entry):
    """What all links of a host share."""

    address: Many[s.NicAddress] = Field((), description="The host's own address here, 'dhcp', or a list of them.")
    ipv6: Annotated[Ipv6, s.choice(*Ipv6, noun="an IPv6 mode")] | None = Field(
        None,
        description="Beside the addresses that are written down: 'auto' takes those that routers advertise, 'dhcp' "
        "asks a DHCPv6 server as well, 'manual' has a link-local one alone, 'off' none; left as it is if not given.",
    )
    ipv6_privacy: Annotated[Ipv6Privacy, s.choice(*Ipv6Privacy, noun="a use of temporary addresses")] | None = Field(
        None,
        description="Temporary IPv6 addresses (RFC 8981): 'off', beside the others ('prefer-public'), or preferred as "
        "source address ('prefer-temporary').",
    )
    gateway: Many[s.Address] = Field(
        (), description="The host's default gateway; one per host and address family, or each with its `metric`."
    )
    metric: s.Metric | None = Field(
        None, description="The metric of the default route, also of the one from DHCP; the lowest is used."
    )
    use_gateway: s.Use | None = Field(
        None,
        description="Whether it takes the default route that a lease or a router advertisement brings: false for "
        "neither, 'ipv4' or 'ipv6' for that of one alone; of both if not given.",
    )
    use_routes: s.Use | None = Field(None, description="The same for the other routes that they bring.")
    use_dns: s.Use | None = Field(None, description="The same for the name servers that they bring.")
    onlink: s.Boolean = Field(
        False,
        description="The gateway is on-link though no prefix here contains it; with a /32 or /128 it always is.",
    )
    routes: Listed[LinkRoute] = Field((), description="Static routes, beside that by the gateway.")
    dns: Many[s.Address] = Field((), description="Name servers, for the configuration that is kept over a reboot.")
    search: Many[s.Text] = Field((), description="Search domains for names without a domain.")
    as_found: AsFound | None = Field(None, description="Commands of its own files that no other key says.")
    mac: s.MacWord | None = Field(None, description="The MAC to give it.")
    mtu: s.Mtu | None = Field(
        None, description="Bytes; the network's if not given, and left as it is where that names none either."
    )

    @property
    def below(self) -> tuple[IfName, ...]:
        """The links that it stands on, by the names that are in the file."""
        return ()


class WiredLink(HostLink):
    """A link that is on a network of the building by itself."""

    network: s.Label | None = Field(None, description="The network on its wire (a name under 'networks').")


class Nic(WiredLink):
    """A NIC of the host. Without an address it carries guests only."""

    model_config = ConfigDict(title="a NIC of a host")

    mac: s.MacWord | None = Field(None, description="Pins the name to the NIC with this MAC.")
    path: s.Text | None = Field(None, description="Pins the name to the NIC in this slot (udev's ID_PATH).")
    wol: Many[Annotated[str, s.choice(*MODES, OFF, noun="what wakes a machine")]] = Field(
        (),
        description="Wake-on-LAN: which packets wake the machine by it, 'magic' as a rule, or 'off'; left as it is if "
        "not given.",
    )
    switch: Switch | None = Field(None, description="The switch port that it should be plugged into.")


class VlanLink(WiredLink):
    """A VLAN link for addresses of the host's own; a bridge with 'vlan' needs none."""

    model_config = ConfigDict(title="a VLAN link")

    link: s.LinkName = Field(description="The NIC, bond, bridge or VLAN link that carries it.")
    id: s.VlanId = Field(description="Its VLAN ID.")
    protocol: Annotated[str, s.choice("802.1Q", "802.1ad", noun="a VLAN protocol")] = Field(
        "802.1Q", description="802.1ad for the outer tag of a provider's network (QinQ)."
    )

    @property
    def below(self) -> tuple[IfName, ...]:
        """The link that carries it."""
        return (self.link,)


Native = Annotated[str, s.choice("untagged", "tagged", noun="a way to send the native VLAN")]
Fdb = Annotated[str, s.choice("static", "learned", noun="a way to fill the FDB")]
Guard = Annotated[str, s.choice("strict", "mac", "off", noun="a guard")]
Cable = Annotated[str, s.choice("patch", "veth", noun="a kind of cable")]


class Mirror(Entry):
    """A copy of what passes an Open vSwitch bridge, for whoever listens: an intrusion detection, a capture."""

    model_config = ConfigDict(title="a mirror")

    from_: Many[s.Text] = Field(
        (),
        alias="from",
        description="Whose frames, both ways: guests, taps or the uplink of this bridge; all if not given.",
    )
    to: s.Text = Field(
        description="A guest with one NIC on this bridge, its tap, or a free NIC of the host. It gets the copies and "
        "nothing else, and what it sends is dropped."
    )


class Patch(Entry, alone="to"):
    """A cable to another bridge of the host, alone where it is a pair of patch ports."""

    model_config = ConfigDict(title="a patch")

    to: s.LinkName = Field(description="The other bridge; it need not name this one.")
    by: Cable = Field(
        "patch", description="'patch' between two bridges of Open vSwitch; 'veth' (a veth pair) to a Linux bridge."
    )
    name: s.Text | None = Field(None, description="What its end here is called; BRIDGE-OTHER if not given.")
    peer: s.Text | None = Field(None, description="What its end there is called; OTHER-BRIDGE if not given.")


FailMode = Annotated[str, s.choice("standalone", "secure", noun="a fail mode")]
Datapath = Annotated[str, s.choice("system", "netdev", noun="a datapath")]


class PortFlags(Entry):
    """What a bridge does with the frames of one port, in the words of bridge(8); what is not given is as usual."""

    model_config = ConfigDict(title="the flags of a port")

    hairpin: s.Boolean | None = Field(None, description="Frames may leave by the port by which they came in.")
    guard: s.Boolean | None = Field(None, description="It is shut when a BPDU of the spanning tree comes in.")
    root_block: s.Boolean | None = Field(None, description="It never is the way to the root of the spanning tree.")
    fastleave: s.Boolean | None = Field(None, description="Multicast ends as soon as somebody leaves its group.")
    learning: s.Boolean | None = Field(None, description="MACs are learned there; on if not given.")
    flood: s.Boolean | None = Field(None, description="Frames to unknown MACs leave by it; on if not given.")
    mcast_flood: s.Boolean | None = Field(None, description="Multicast that nobody asked for leaves by it; on, too.")
    bcast_flood: s.Boolean | None = Field(None, description="Broadcasts leave by it; on if not given.")
    mcast_to_unicast: s.Boolean | None = Field(None, description="Multicast leaves as a copy for each who asked.")
    neigh_suppress: s.Boolean | None = Field(None, description="ARP and ND are answered for it, and not flooded.")
    isolated: s.Boolean | None = Field(None, description="It exchanges no frames with other isolated ports.")
    locked: s.Boolean | None = Field(None, description="Only MACs with an entry of their own may send.")
    proxy_arp: s.Boolean | None = Field(None, description="ARP is answered there for whoever is known elsewhere.")


class DeclaredPort(Entry, alone="link"):
    """A further port of a bridge: a link of the host, alone where it carries what the uplink carries."""

    model_config = ConfigDict(title="a port of a bridge")

    link: s.LinkName = Field(description="The NIC, bond or VLAN link.")
    vlans: Many[s.VlanRange] = Field(
        (), description="VLANs that it carries tagged; those of the uplink if neither this nor `pvid` is given."
    )
    pvid: s.Pvid | None = Field(
        None, description="The VLAN of what arrives untagged here, or 'none' where that is not taken; 1 beside `vlans`."
    )
    path_cost: s.PathCost | None = Field(None, description="Its path cost in the spanning tree.")
    port_priority: s.PortPriority | None = Field(None, description="Its port priority in the spanning tree.")
    port_flags: PortFlags | None = Field(None, description="What the bridge does with its frames.")

    @property
    def is_like_uplink(self) -> bool:
        """Whether it carries the VLANs that the uplink carries."""
        return not self.vlans and self.pvid is None


class Bridge(HostLink):
    """A bridge of the host: the guests plugged into it are on its uplink's network."""

    model_config = ConfigDict(title="a bridge", json_schema_extra={"required": ["uplink"]})

    kind: Annotated[str, s.choice(*BRIDGES, noun="a kind of bridge")] = Field(
        "linux", description="The kernel's bridge, or one of Open vSwitch, which keeps VLANs apart by itself."
    )
    uplink: s.Uplink | None = Field(
        None,
        description="The NIC, bond or VLAN link under it, or 'none' for a bridge without a NIC on purpose. "
        "'unknown' (from an import) must be named before a plan is made.",
    )
    ports: Many[Annotated[DeclaredPort, Shorthand("eno5")]] = Field(
        (), description="Further NICs, bonds or VLAN links under it, on the same network as the uplink."
    )
    address: Many[s.BridgeAddress] = Field(
        (),
        description="The host's own address on the bridge; 'from-uplink' moves here what the host has on the NIC, or "
        "on a bridge of others that the NIC is a port of.",
    )
    vlan: s.VlanId | None = Field(None, description="The bridge is on this VLAN of the uplink (eth4.30).")
    vlan_aware: s.Boolean = Field(False, description="The bridge filters VLANs itself; each guest NIC names its own.")
    vlans: Many[s.VlanRange] = Field(
        (), description="VLANs that the uplink of a VLAN-aware bridge carries tagged, beside those of its guests."
    )
    pvid: s.Pvid | None = Field(
        None,
        description="The VLAN of what arrives untagged at that uplink, or 'none' where that is not taken; 1 if not "
        "given.",
    )
    native: Native | None = Field(
        None, description="Whether frames of the VLAN `pvid` leave there untagged, as usual, or tagged (Open vSwitch)."
    )
    stp: s.Boolean = Field(False, description="Spanning tree (802.1D); off if not given, so that no port waits 30 s.")
    priority: s.BridgePriority | None = Field(
        None, description="Its bridge priority in the spanning tree; the lowest becomes the root."
    )
    forward_delay: s.TreeTime | None = Field(
        None, description="How long a port stays in listening, and in learning, before it forwards (spanning tree)."
    )
    hello: s.TreeTime | None = Field(None, description="How often the root of the spanning tree sends BPDUs.")
    max_age: s.TreeTime | None = Field(None, description="How long a BPDU of the root is valid (spanning tree).")
    ageing: s.TreeTime | None = Field(None, description="How long a learned MAC stays in the FDB.")
    path_cost: s.PathCost | None = Field(
        None, description="The path cost of its uplink in the spanning tree; by its speed if not given."
    )
    port_priority: s.PortPriority | None = Field(
        None, description="The port priority of its uplink in the spanning tree; 32 if not given."
    )
    port_flags: PortFlags | None = Field(None, description="What it does with the frames of its uplink.")
    snooping: s.Boolean | None = Field(
        None, description="Multicast snooping: only to ports that joined; off if not given, unless it is the querier."
    )
    querier: s.Boolean | None = Field(None, description="It is the multicast querier, where no router is.")
    guard: Guard | None = Field(None, description="The guard of its guests that name none.")
    fdb: Fdb | None = Field(None, description="How it knows the MACs of its guests that name no `fdb`.")
    rstp: s.Boolean = Field(False, description="Rapid spanning tree (Open vSwitch).")
    fail_mode: FailMode | None = Field(
        None, description="What an Open vSwitch bridge does without a controller: learn as a switch, or pass nothing."
    )
    datapath: Datapath | None = Field(
        None,
        description="The datapath of an Open vSwitch bridge: system (the kernel's), or netdev (userspace, for tests).",
    )
    mirror: Listed[Mirror] = Field((), description="Port mirroring: copies of frames (Open vSwitch).")
    patch: Many[Annotated[Patch, Shorthand("ovs4")]] = Field(
        (), description="Cables to other bridges of the host, which carry every VLAN (Open vSwitch)."
    )

    @property
    def below(self) -> tuple[IfName, ...]:
        """The uplink, if it has one, and the further ports."""
        uplinks = () if self.uplink is None or self.uplink in NO_UPLINK else (self.uplink,)
        return (*uplinks, *(port.link for port in self.ports))

    @property
    def made(self) -> type[links.Bridge]:
        """What it is on the host."""
        return BRIDGES[self.kind]

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel makes it."""
        return self.made.by_kernel

    @model_validator(mode="before")
    @classmethod
    def _aware(cls, value: object) -> object:
        """Open vSwitch looks at tags."""
        known = isinstance(value, dict) and value.get("kind") == "openvswitch"
        return {"vlan_aware": "true", **value} if known else value  # type: ignore[dict-item]  # a mapping, as seen
