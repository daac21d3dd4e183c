"""How large a packet is on a wire, and who cuts it where it does not fit."""

from __future__ import annotations

from bascule.topology.trace.answer import Code
from bascule.topology.trace.passage import PacketPath

TAG = 4  # bytes beyond the MTU that is_skb_forwardable() allows
HEADERS = {4: 20, 6: 48}  # of a fragment; that of IPv6 has one of its own


def size_of(passage: PacketPath) -> int:
    """The bytes of the largest packet of IP that it is at the moment; 0 where nobody knows."""
    size = passage.fields.get("meta length")
    return min(passage.piece or size, size) if isinstance(size, int) and passage.version else 0


def cut(passage: PacketPath, mtu: int, link: str, *, sender: bool = True) -> None:
    """Whoever sends it by a link cuts it into fragments, if it is larger than the link takes.

    Of IPv6 only its first sender does so, of IPv4 nobody where it says DF; who may not says "too big" instead.
    """
    size = size_of(passage)
    if not mtu or size <= mtu:
        passage.in_pieces = bool(size and passage.piece)  # as it came, also where it was put together meanwhile
    elif passage.version == 6 and passage.piece and not sender and not passage.in_pieces:
        passage.unsure.append(f"whether fragments of {size} bytes that were put together are cut anew for {link}")
        passage.in_pieces = True
    elif passage.whole or (passage.version == 6 and not sender):
        text = f"a packet of {size} bytes does not fit {link}, whose MTU is {mtu}, and may not be cut"
        passage.stop(Code.MTU, link, text, name="port", where=link)
    else:
        header = HEADERS[passage.version]
        passage.piece, passage.in_pieces = header + (mtu - header) // 8 * 8, True


def refuse(passage: PacketPath, who: str, mtu: int) -> None:
    """What takes frames takes none that is larger than its MTU and a tag."""
    size = size_of(passage)
    if mtu and size > mtu + TAG:
        text = f"{who} takes no packet of {size} bytes: its MTU is {mtu}"
        passage.stop(Code.MTU, who, text, name="port", where=who)
