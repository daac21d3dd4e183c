"""The site file as written: one model per kind of entry. Their texts become the schema and the reference."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from bascule.model.dialects import persistent
from bascule.site import scalars as s
from bascule.site.findings import shown


class OneOrMany:
    """A single value or a list of them; read as a tuple."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        each = handler(schema)["items"]
        return {"anyOf": [each, {"type": "array", "items": each, "minItems": 1}]}


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        if not value:
            raise s.fault("TYPE", "the list is empty", "give a value, or leave the key out")
        return tuple(value)
    return (value,)


def _as_list(value: object) -> object:
    if value is None:
        return ()
    if not isinstance(value, list):
        what = "a mapping" if isinstance(value, dict) else shown(value)
        hint = f"write [{value}]" if isinstance(value, str) else "put it in [ ], or behind '- '"
        raise s.fault("TYPE", f"{what} stands where a list was expected", hint)
    return tuple(value)


def _as_section(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else shown(value)
        raise s.fault("TYPE", f"{what} stands where a mapping was expected", "write each entry as 'NAME: {…}'")
    return value


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), OneOrMany]
Listed = Annotated[tuple[T, ...], BeforeValidator(_as_list)]
Named = Annotated[dict[s.Label, T], BeforeValidator(_as_section)]
NamedLink = Annotated[dict[s.LinkName, T], BeforeValidator(_as_section)]


class Entry(BaseModel):
    """What all entries share."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if value is None:
            return {}
        if not isinstance(value, dict):
            what = "a list" if isinstance(value, list) else shown(value)
            keys = ", ".join(field.alias or name for name, field in cls.model_fields.items())
            raise s.fault("TYPE", f"{what} stands where the keys of {cls.noun()} were expected", f"its keys: {keys}")
        return value

    @classmethod
    def noun(cls) -> str:
        """The entry's name in a sentence."""
        return str(cls.model_config.get("title"))


class Network(Entry):
    """A layer-2 network that exists in the building."""

    model_config = ConfigDict(title="a network")

    subnet: Many[s.Subnet] = Field((), description="Its subnet, or a list of them, IPv4 and IPv6 alike.")
    gateway: Many[s.Address] = Field((), description="The router that leads out of it, one per address family.")
    vlan: s.VlanId | None = Field(None, description="The VLAN tag with which it arrives; left out where untagged.")


class Switch(Entry):
    """The cabling as it should be: the switch port that a NIC is plugged into."""

    model_config = ConfigDict(title="a switch port")

    name: s.Text = Field(description="The switch's name, as its LLDP frames tell it.")
    port: s.Text = Field(description="The port's name on that switch.")


class Route(Entry):
    """A network that lies behind a router."""

    model_config = ConfigDict(title="a route")

    to: s.Subnet = Field(description="The network behind the router.")
    via: s.Address = Field(description="The router, on this link's network.")
    metric: s.Metric | None = Field(None, description="Its rank among routes to the same network; the lowest wins.")


class Nic(Entry):
    """A NIC of the host. Without an address it carries guests only."""

    model_config = ConfigDict(title="a NIC of a host")

    network: s.Label | None = Field(None, description="The network on its wire (a name under 'networks').")
    address: Many[s.NicAddress] = Field((), description="The host's own address here, 'dhcp', or a list of them.")
    gateway: Many[s.Address] = Field((), description="The host's default gateway; one per host and address family.")
    routes: Listed[Route] = Field((), description="Networks behind other routers than the default gateway.")
    dns: Many[s.Address] = Field((), description="Name servers, for the configuration that is kept over a reboot.")
    search: Many[s.Text] = Field((), description="Domains in which bare names are looked up.")
    mac: s.MacWord | None = Field(None, description="Pins the name to the NIC with this MAC.")
    path: s.Text | None = Field(None, description="Pins the name to the NIC in this slot (udev's ID_PATH).")
    mtu: s.Mtu | None = Field(None, description="Bytes; left as it is if not given.")
    switch: Switch | None = Field(None, description="The switch port that it should be plugged into.")


BOND_MODES = (
    "active-backup",
    "802.3ad",
    "balance-rr",
    "balance-xor",
    "broadcast",
    "balance-tlb",
    "balance-alb",
)


class Bond(Entry):
    """Several NICs as one, usable as an uplink."""

    model_config = ConfigDict(title="a bond")

    nics: Listed[s.LinkName] = Field(description="Its members (names under 'nics'); they carry no address.")
    mode: Annotated[str, s.choice(*BOND_MODES, noun="a bonding mode")] = Field(
        "active-backup", description="The kernel's bonding mode; 802.3ad needs LACP on the switch."
    )
    mtu: s.Mtu | None = Field(None, description="Bytes.")


class Bridge(Entry):
    """A bridge of the host: the guests plugged into it stand on its uplink's network."""

    model_config = ConfigDict(title="a bridge", json_schema_extra={"required": ["uplink"]})

    uplink: s.Uplink | None = Field(
        None,
        description="The NIC or bond under it, or 'none' for a bridge without a NIC on purpose. "
        "'unknown' (from an import) must be named before a plan is made.",
    )
    address: Many[s.BridgeAddress] = Field(
        (), description="The host's own address on the bridge; 'from-uplink' moves the NIC's addresses here."
    )
    gateway: Many[s.Address] = Field((), description="The host's default gateway; one per host and address family.")
    routes: Listed[Route] = Field((), description="Networks behind other routers than the default gateway.")
    dns: Many[s.Address] = Field((), description="Name servers, for the configuration that is kept over a reboot.")
    search: Many[s.Text] = Field((), description="Domains in which bare names are looked up.")
    vlan: s.VlanId | None = Field(None, description="The bridge sits on this VLAN of the uplink (eth4.30).")
    vlan_aware: s.Boolean = Field(False, description="The bridge keeps tags apart itself; guests choose their VLAN.")
    stp: s.Boolean = Field(False, description="Spanning tree; off with one uplink, so that no port waits 30 s.")
    mtu: s.Mtu | None = Field(None, description="Bytes.")
    guard: Guard | None = Field(None, description="The guard of its guests that name none.")


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
    forwards: Listed[Forward] = Field((), description="Ports of the host that lead to guests (nat and routed).")


class Host(Entry):
    """A machine that runs guests."""

    model_config = ConfigDict(title="a host")

    memory: s.Size | None = Field(None, description="Its memory, as KiB, MiB, GiB or TiB.")
    persist: Annotated[str, s.choice(*persistent(), "none", noun="a configuration system")] | None = Field(
        None, description="The configuration system that keeps the network over a reboot; found out if not given."
    )
    as_found: s.Boolean = Field(
        False,
        description="What is there already keeps its bridge options, MACs and IPv6 settings; "
        "Bascule's own defaults are put only on what it makes.",
    )
    nics: NamedLink[Nic] = Field(default_factory=dict, description="Its NICs, by the kernel's name.")
    bonds: NamedLink[Bond] = Field(default_factory=dict, description="Its bonds, by name.")
    bridges: NamedLink[Bridge] = Field(default_factory=dict, description="Its bridges, by name.")
    virtual_networks: Named[VirtualNetwork] = Field(default_factory=dict, description="Its host-only networks.")
    serves: Listed[s.Served] = Field((), description="The ports on which the host itself answers.")
    guard: Guard | None = Field(None, description="The guard of its guests where neither NIC nor bridge names one.")


GUARDS = ("strict", "mac", "off")
LIBERTIES = ("router", "dhcp-server", "multicast-querier", "tags", "bpdu")
Guard = Annotated[str, s.choice(*GUARDS, noun="a guard")]


class Also(Entry):
    """A further address that a guest may use: alone, or as one that a group of routers shares."""

    model_config = ConfigDict(title="a further address")

    address: Many[s.AlsoAddress] = Field((), description="An address, a subnet behind the guest, or a list of them.")
    vrrp: s.GroupNumber | None = Field(None, description="The VRID under which VRRP hands it over.")
    hsrp: s.GroupNumber | None = Field(None, description="The group under which HSRP hands it over.")
    carp: s.GroupNumber | None = Field(None, description="The VHID under which CARP hands it over.")

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        return {"address": value} if isinstance(value, str) else super()._mapping(value)  # type: ignore[operator]  # pydantic wraps it


class OrAlone:
    """An address alone stands for an entry with nothing else."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": ["10.0.0.100", "10.8.0.0/24"]}, handler(schema)]}


class Limit(Entry):
    """How much of what reaches every other guest a guest may send."""

    model_config = ConfigDict(title="a limit")

    broadcast: s.FrameRate | None = Field(None, description="Broadcast frames that it may send, as 100/s.")
    multicast: s.FrameRate | None = Field(None, description="Multicast frames that it may send, as 100/s.")


class GuestNic(Entry):
    """A NIC of a guest, plugged into exactly one of bridge, network and direct."""

    model_config = ConfigDict(title="a NIC of a guest")

    bridge: s.LinkName | None = Field(None, description="The bridge of the guest's host.")
    network: s.Label | None = Field(None, description="The virtual network of the guest's host.")
    direct: s.LinkName | None = Field(None, description="The NIC of the guest's host that it shares (macvtap).")
    mac: s.GuestMac | None = Field(None, description="Its MAC; derived from site, guest and index if not given.")
    address: Many[s.NicAddress] = Field((), description="The guest's address, 'dhcp', or a list of them.")
    tap: s.LinkName | None = Field(None, description="Its tap on the host where the default name will not do.")
    vlan: s.VlanId | None = Field(None, description="Its VLAN on a VLAN-aware bridge (access port).")
    vlans: Many[s.VlanRange] = Field((), description="Its VLANs on a VLAN-aware bridge (trunk port).")
    guard: Guard | None = Field(
        None,
        description="strict: it sends from its own MAC and addresses only; mac: from its own MAC; off: it is trusted.",
    )
    also: Many[Annotated[Also, OrAlone]] = Field((), description="Further addresses that it may use behind a guard.")
    macs: Many[s.MacWord] = Field((), description="Further MACs that it may use behind a guard: nested guests.")
    may: Many[Annotated[str, s.choice(*LIBERTIES, noun="something that a guard lets through")]] = Field(
        (), description="What a guard lets through beside its own traffic."
    )
    isolated: s.Boolean | None = Field(
        None,
        description="It reaches no other isolated guest of its network; the port's flag is left as it is if not given.",
    )
    limit: Limit | None = Field(None, description="How much of what reaches everybody it may send.")


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
    serves: Listed[s.Served] = Field((), description="The ports on which it answers.")


class MachineNic(Entry):
    """A machine's foot in a network."""

    model_config = ConfigDict(title="a NIC of a machine")

    network: s.Label = Field(description="The network that it stands on.")
    address: Many[s.NicAddress] = Field((), description="Its address, 'dhcp', or a list of them.")
    mac: s.MacWord | None = Field(None, description="Its MAC, where it matters.")
    routes: Listed[Route] = Field((), description="Networks that it finds behind other routers than the gateway.")


class Dhcp(Entry):
    """A DHCP and DNS server that the machine runs."""

    model_config = ConfigDict(title="a DHCP server")

    network: s.Label = Field(description="The network that it serves; the machine stands on it.")
    range: s.SpanWord = Field(description="The IPv4 addresses that it hands out, both ends included.")


class Masquerade(Entry):
    """Who may go out through the machine, seen under the machine's address."""

    model_config = ConfigDict(title="a masquerade")

    from_: Many[s.Label] = Field(alias="from", description="Guests, machines, hosts or networks.")
    to: s.Label = Field(description="The network outside.")


class Machine(Entry):
    """What else stands on the networks: never touched, played in the twin."""

    model_config = ConfigDict(title="a machine")

    nics: Listed[MachineNic] = Field((), description="Its NICs.")
    dhcp: Dhcp | None = Field(None, description="The DHCP and DNS server that it runs.")
    masquerade: Masquerade | None = Field(None, description="Whom it lets out under its own address.")
    serves: Listed[s.Served] = Field((), description="The ports on which it answers.")


class Expect(Entry):
    """One access criterion: who must, or must not, reach whom."""

    model_config = ConfigDict(title="an expectation")

    from_: s.Label = Field(alias="from", description="The guest, host or machine that asks.")
    to: s.Label = Field(description="The guest, host or machine that is asked.")
    service: s.ServiceWord | None = Field(None, description="What is asked: icmp (default), arp, tcp/80, udp/53.")
    verdict: Annotated[str, s.choice("reach", "no-reach", noun="a verdict")] = Field(
        description="reach: an answer must come; no-reach: none may come."
    )
    seen_as: s.Label | None = Field(None, description="Whose address the target must see (masquerading).")


class Document(Entry):
    """The networks of the building, the hosts, their guests, and who must reach whom."""

    model_config = ConfigDict(title="a site file")

    site: s.Label = Field(description="The site's name; derived MACs hang on it.")
    networks: Named[Network] = Field(default_factory=dict, description="The networks that exist in the building.")
    hosts: Named[Host] = Field(default_factory=dict, description="The machines that run guests.")
    guests: Named[Guest] = Field(default_factory=dict, description="The virtual servers.")
    machines: Named[Machine] = Field(default_factory=dict, description="What else stands on those networks.")
    expect: Listed[Expect] = Field((), description="The access criteria.")
