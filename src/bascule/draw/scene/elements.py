"""What is to be seen, apart from where it stands: elements in layers, the wires between them, and their state.

A scene knows nothing of pixels or columns. Every drawing, also JSON, dot and mermaid, is made from one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum, StrEnum
from functools import cached_property

from msgspec import Struct, field

from bascule.model.guarding import GuardLevel
from bascule.model.site import Forward
from bascule.model.values import grouped


class Layer(IntEnum):
    """From top to bottom."""

    GUEST = 0
    TAP = 1
    SWITCH = 2
    MIDDLE = 3  # VLAN links, bonds, and the translation step of a NAT network
    NIC = 4
    NETWORK = 5
    MACHINE = 6


class Kind(StrEnum):
    """What an element is."""

    GUEST = "guest"
    HOST = "host"  # the host's own network stack: the place of an address
    TAP = "tap"
    MACVTAP = "macvtap"
    BRIDGE = "bridge"
    VIRTUAL_NETWORK = "virtual network"
    TRANSLATION = "translation"  # masquerade
    ROUTING = "routing"
    VLAN = "vlan"
    BOND = "bond"
    NIC = "nic"
    LINK = "link"  # any other kind of link that was seen
    NETWORK = "network"
    MACHINE = "machine"


class Presence(StrEnum):
    """The file against the host."""

    DECLARED = "declared"  # from the file alone; nobody looked at the host
    WANTED = "wanted"  # in the file, not on the host
    PRESENT = "present"  # in the file and on the host, alike
    DRIFTED = "drifted"  # on both, and different
    FOREIGN = "foreign"  # on the host, not in the file: seen and left alone


class LinkState(StrEnum):
    """How a link does."""

    UNKNOWN = "unknown"
    UP = "up"
    NO_CARRIER = "no carrier"
    DOWN = "down"
    BLOCKED = "blocked by STP"
    WAITING = "waits for STP"  # listens or learns, and passes nothing on yet
    ISOLATED = "isolated"


GUARD_SIGNS = {GuardLevel.STRICT: "◆", GuardLevel.MAC: "◇"}
FDB_SIGN, FDB_WORDS = "≡", "its MACs stand in the bridge's table, it learns none"
GUARD_WORDS = {GuardLevel.STRICT: "guard: own MAC and addresses only", GuardLevel.MAC: "guard: own MAC only"}

FINE = {LinkState.UNKNOWN, LinkState.UP}
CUT = {LinkState.NO_CARRIER, LinkState.DOWN}
HELD = {LinkState.BLOCKED, LinkState.WAITING}


class Node(Struct, frozen=True, kw_only=True):
    """An element. ``notes`` are drawn under the label, ``brief`` of them where many share the room.

    ``details`` are what a reader asks for by pointing at it.
    """

    id: str
    layer: Layer
    kind: Kind
    label: str
    notes: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    host: str = ""
    network: str | None = None
    presence: Presence = Presence.DECLARED
    state: LinkState = LinkState.UNKNOWN
    guard: GuardLevel = GuardLevel.OFF  # of the guest's NIC behind a port
    static_fdb: bool = False  # the MACs of the guest behind a port stand in the bridge's table
    isolated: bool = False  # its bridge passes nothing on to the other isolated ports
    drift: tuple[str, ...] = ()  # what the plan would change of it, in the plan's words
    members: tuple[str, ...] = ()  # the names behind one element that stands for many alike
    lets_in: tuple[Forward, ...] = ()  # of a translation: what is forwarded to a guest

    @property
    def title(self) -> str:
        """The label, behind the signs of its guard and of static entries."""
        signs = GUARD_SIGNS.get(self.guard, "") + FDB_SIGN * self.static_fdb
        return f"{signs} {self.label}" if signs else self.label

    @property
    def marks(self) -> tuple[str, ...]:
        """The words that must be seen without pointing: a bad state, and a presence that is not as it should be."""
        words = []
        if self.state not in FINE:
            words.append(str(self.state))
        if self.isolated and self.state is not LinkState.ISOLATED:
            words.append(str(LinkState.ISOLATED))
        if self.presence in {Presence.WANTED, Presence.DRIFTED, Presence.FOREIGN}:
            words.append(str(self.presence))
        return tuple(words)

    @property
    def is_faulty(self) -> bool:
        """Whether it is on the host and does badly there, or is not as it should be."""
        return self.state not in FINE or self.presence is Presence.DRIFTED


class Edge(Struct, frozen=True, kw_only=True):
    """A wire from an upper element to a lower one; ``network`` gives it colour and line style."""

    upper: str
    lower: str
    network: str | None = None
    presence: Presence = Presence.DECLARED
    state: LinkState = LinkState.UNKNOWN

    @property
    def id(self) -> str:
        """Unique in a scene."""
        return f"{self.upper}>{self.lower}"


class Arrow(Struct, frozen=True, kw_only=True):
    """Who may go out through a machine: from one of its networks to another, under its own address."""

    machine: str  # node id
    sources: tuple[str, ...]
    origins: tuple[str, ...]  # names of networks
    to: str  # name of a network


class Path(Struct, frozen=True, kw_only=True):
    """The way of a frame through the scene, and where it ends."""

    source: str
    target: str
    nodes: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    reached: bool | None = False  # None: nothing proves either
    end: str = ""  # a sentence

    @property
    def last(self) -> str:
        """The id of the element where the frame ends, or nothing."""
        return self.nodes[-1] if self.nodes else ""


class Scene(Struct, frozen=True, kw_only=True, dict=True):
    """A whole picture's content. ``networks`` has the building's networks in their order: it gives each its style."""

    site: str
    digest: str = ""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    networks: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)  # name: what stands behind it in the frame's title
    observed: frozenset[str] = frozenset()  # the hosts that somebody looked at
    aliases: Mapping[str, str] = field(default_factory=dict)  # link id: the element that the link is a part of
    drift: tuple[str, ...] = ()  # what the plan would change, of the elements and of all else
    path: Path | None = None

    def lower(self, node: str) -> tuple[Edge, ...]:
        """The wires that go down from an element."""
        return tuple(self._lower.get(node, ()))

    def on_host(self, host: str) -> dict[str, Node]:
        """The elements of a host, by their ids."""
        return {node.id: node for node in self._nodes_of_hosts.get(host, ())}

    def wires_from(self, host: str) -> tuple[Edge, ...]:
        """The wires that go down from the elements of a host."""
        return tuple(self._edges_of_hosts.get(host, ()))

    @cached_property
    def _lower(self) -> dict[str, list[Edge]]:
        return grouped((edge.upper, edge) for edge in self.edges)

    @cached_property
    def _nodes_of_hosts(self) -> dict[str, list[Node]]:
        return grouped((node.host, node) for node in self.nodes.values())

    @cached_property
    def _edges_of_hosts(self) -> dict[str, list[Edge]]:
        return grouped((self.nodes[edge.upper].host, edge) for edge in self.edges if edge.upper in self.nodes)

    def of_layer(self, layer: Layer) -> Iterator[Node]:
        """The elements of one layer in their order."""
        return (node for node in self.nodes.values() if node.layer is layer)

    def style(self, network: str | None) -> int | None:
        """The number of a network's colour and line style; None for wires that belong to no single network."""
        return self.networks.index(network) if network in self.networks else None


def wire_state(scene: Scene, edge: Edge) -> LinkState:
    """How a wire does: a cable without carrier is cut at its NIC, a port that STP holds back is held at its bridge."""
    is_cable = edge.lower in scene.nodes and scene.nodes[edge.lower].layer is Layer.NETWORK
    if edge.state is LinkState.DOWN or edge.state in (CUT if is_cable else HELD):
        return edge.state
    return LinkState.UNKNOWN


def network_id(name: str) -> str:
    """The id of a network of the building."""
    return f"network/{name}"


def machine_id(name: str) -> str:
    """The id of a machine."""
    return f"machine/{name}"


def guest_id(name: str) -> str:
    """The id of a guest."""
    return f"guest/{name}"


def link_id(host: str, link: str) -> str:
    """The id of a link of a host."""
    return f"{host}/link/{link}"


def virtual_id(host: str, network: str) -> str:
    """The id of a host's virtual network."""
    return f"{host}/virtual/{network}"


def exit_id(host: str, network: str) -> str:
    """The id of the step between a virtual network and the host's way out."""
    return f"{host}/exit/{network}"


def self_id(host: str, link: str) -> str:
    """The id of the host's own address on a link."""
    return f"{host}/self/{link}"
