"""What is written down of one packet: its fields as they change, its stations, its size, what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bascule.topology.trace.answer import UNKNOWN, Blocker, Certainty, Code, Stage
from bascule.topology.trace.ends.wire_ends import WireEnds
from bascule.topology.trace.network import BalancedService, HostNetwork
from bascule.topology.trace.packet import Connection, key, text_of, version_of
from bascule.topology.trace.rules.tests import Fields

TAG = 4  # bytes beyond the MTU that is_skb_forwardable() allows
HEADERS = {4: 20, 6: 48}  # of a fragment; that of IPv6 has one of its own


class PacketRecord:
    """One packet: what it is now, and what is written down of its way so far."""

    def __init__(self, ends: WireEnds, fields: dict[str, Any], connection: Connection) -> None:
        self.ends, self.network = ends, ends.network
        self.fields = fields
        self.connection = connection
        self.stages, self.unsure = list[Stage](), list[str]()
        self.learned: list[tuple[str, int, str]] = []
        self.piece = 0  # the largest fragment that it was cut into, in bytes; 0 where it was not
        self.in_pieces = False  # whether chains see the fragments, of which the first one alone has ports
        self.whole = False  # whether nobody may cut it (DF)
        self.too_big: dict[str, Any] = {}  # as it was when the host found it too big to hand on; empty where it did not
        self.routed_on = False  # whether the host hands it on for another
        self.known_to: int | None = None  # how many stages stand on its way: of what comes after nobody knows whether
        self.routed, self.routed_mark = False, self.fields.get("meta mark", 0)  # by a hook, before its time or anew

    @property
    def version(self) -> int:
        """4 or 6; 0 of a frame that is no IP."""
        return version_of(self.fields)

    @property
    def result(self) -> Certainty:
        """What stands in the packet's way, in a word."""
        blockers = [one for stage in self.stages[: self.known_to] for one in stage.blockers]
        certain = [one for one in blockers if one.certain]
        if stopping := [one for one in certain if one.code not in UNKNOWN]:
            return Certainty.PERHAPS if all(one.depends for one in stopping) else Certainty.NO
        if certain:
            return Certainty.UNKNOWN
        return Certainty.PERHAPS if blockers or self.unsure else Certainty.YES

    @property
    def refused(self) -> bool:
        """Whether the host's routes refused it, perhaps: then it came to nobody."""
        codes = {one.code for stage in self.stages for one in stage.blockers}
        return not codes.isdisjoint({Code.NO_ROUTE, Code.BLACKHOLE})

    # ---- what is written down

    def note(self, name: str, words: str = "", *, where: str = "", verdict: str = "ok") -> None:
        """A station without rules."""
        self.stages.append(Stage(name=name, words=words, where=where, verdict=verdict))

    def stop(self, code: Code, subject: str, text: str, *, name: str, where: str = "", certain: bool = True) -> None:
        """Something that is no rule stands in the way."""
        why = (Blocker(code=code, subject=subject, text=text, certain=certain, depends=bool(self.unsure)),)
        verdict = "unknown" if code in UNKNOWN else "no" if certain else "perhaps"
        self.stages.append(Stage(name=name, where=where, verdict=verdict, words=text, blockers=why))


# ---- what no rule says


def unread_calls(network: HostNetwork, family: str, hook: str) -> Iterator[str]:
    """What is called at a hook that no table of rules shows: it may do anything."""
    for name in network.called.get((family, hook), ()):
        yield f"{name} is called at {family} {hook}, and no table of rules shows what it does"


def balancing(network: HostNetwork, version: int, fields: Fields) -> Iterator[BalancedService]:
    """The services of IPVS that a packet is for."""
    asked = fields.get("meta l4proto"), fields.get(key(version, "daddr")), fields.get("th dport")
    return (one for one in network.balanced if one.takes(*asked))


def balanced_words(one: BalancedService) -> str:
    """That IPVS chooses who gets it (ipvsadm(8))."""
    version = 4 if one.address < 1 << 32 else 6
    where = f"{text_of(version, one.address)} port {one.port or 'any'}"
    return f"IPVS forwards what is for {where} to a real server that it chooses"


# ---- how large it is on a wire, and who cuts it where it does not fit


def size_of(passage: PacketRecord) -> int:
    """The bytes of the largest packet of IP that it is at the moment; 0 where nobody knows."""
    size = passage.fields.get("meta length")
    return min(passage.piece or size, size) if isinstance(size, int) and passage.version else 0


def cut(passage: PacketRecord, mtu: int, link: str, *, sender: bool = True) -> None:
    """Whoever sends it by a link cuts it into fragments, if it is larger than the link takes.

    Of IPv6 only its first sender does so, of IPv4 nobody where it says DF; who may not says "too big" instead.
    """
    size = size_of(passage)
    if passage.too_big:
        return
    if not mtu or size <= mtu:
        passage.in_pieces = bool(size and passage.piece)  # as it came, also where it was put together meanwhile
    elif passage.version == 6 and passage.piece and not sender and not passage.in_pieces:
        passage.unsure.append(f"whether fragments of {size} bytes that were put together are cut anew for {link}")
        passage.in_pieces = True
    elif passage.whole or (passage.version == 6 and not sender):
        _may_not_be_cut(passage, size, mtu, link)
    else:
        header = HEADERS[passage.version]
        passage.piece, passage.in_pieces = header + (mtu - header) // 8 * 8, True


def hand_on(passage: PacketRecord, mtu: int, link: str) -> None:
    """The host looks whether it may hand a packet on by a link before any rule does (ip_forward(), ip6_forward())."""
    size = size_of(passage)
    together = bool(passage.piece) and not passage.in_pieces
    if mtu and size > mtu and (passage.whole or passage.version == 6) and not together:
        tell_too_big(passage)
        _may_not_be_cut(passage, size, mtu, link)


def tell_too_big(passage: PacketRecord) -> None:
    """The host tells the sender of a packet that it has got that it is too big to go on."""
    if passage.result.passes:
        passage.too_big = dict(passage.fields)


def _may_not_be_cut(passage: PacketRecord, size: int, mtu: int, link: str) -> None:
    text = f"a packet of {size} bytes does not fit {link}, whose MTU is {mtu}, and may not be cut"
    passage.stop(Code.MTU, link, text, name="port", where=link)


def refuse(passage: PacketRecord, who: str, mtu: int) -> None:
    """What takes frames takes none that is larger than its MTU and a tag."""
    size = size_of(passage)
    if mtu and size > mtu + TAG:
        text = f"{who} takes no packet of {size} bytes: its MTU is {mtu}"
        passage.stop(Code.MTU, who, text, name="port", where=who)
