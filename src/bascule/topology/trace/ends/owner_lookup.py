"""Who answers for an address on a segment: somebody on its wires, the host itself, or somebody over the wire."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.topology.trace.answer import Code
from bascule.topology.trace.bridging import HOST
from bascule.topology.trace.ends.wire_ends import AddressOwner, WireEnds
from bascule.topology.trace.forwarding import HostRouting
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import Connection, text_of
from bascule.topology.trace.passage import PacketPath


class OwnerLookup:
    """Asks for addresses of one IP version."""

    def __init__(self, ends: WireEnds, version: int) -> None:
        self.ends = ends
        self.network = ends.network
        self.version = version

    def find(self, segment: str, number: int, asker: int = 0, own: str = "") -> AddressOwner | None:
        """Who answers for an address on a segment: an end, the host itself, or somebody over the wire.

        ``own`` is the link by which the host hears the question, where it is another: a VLAN's on the segment.
        """
        own = own or segment
        end = self.ends.at(segment, self.version, number)
        if end is not None:
            return AddressOwner(end.port, end.mac, end)
        links = self.network.own_addresses.get((self.version, number), ())
        if links and self._answers(own, links, number, asker):
            return AddressOwner(HOST, self.network.mac_of(own))
        for port, other in self.network.segments_beside(segment):
            end = self.ends.at(other, self.version, number)
            if end is not None:
                return AddressOwner(port, end.mac, end)
            if other in links:
                return AddressOwner(port, self.network.mac_of(other))
        if self.version == 4 and self._proxies(own, number):
            return AddressOwner(HOST, self.network.mac_of(own))
        return None

    def nobody(self, end: WireEnd, segment: str, number: int, to: int, elsewhere: WireEnd | None) -> tuple[Code, str]:
        """What is said where nobody is found whom an end sends to.

        A gateway may stand in the building, undeclared. Who is ``elsewhere`` on the host may be reached outside, by a
        network with a tag that comes in on both wires.
        """
        if elsewhere is not None and elsewhere.owns(self.version, number):
            bridge = self.network.bridge_of(elsewhere.port)
            if self.network.has_trunk(segment) and self.network.has_trunk(bridge):
                text = f"whether a network with a tag connects {segment} and {bridge} outside is not known"
                return Code.UNKNOWN_OUTSIDE, text
            return Code.NOT_ONE_SEGMENT, f"{elsewhere.name} is behind {elsewhere.port}, which is not on {segment}"
        said = text_of(self.version, number)
        known = self.ends.owned(self.version, number) or (self.version, number) in self.network.own_addresses
        wire = self.network.way_out(segment) if number != to and not known else ""
        if wire:
            text = f"the file has no machine with the gateway {said}: what it does, beyond {wire}, is not known"
            return Code.UNKNOWN_OUTSIDE, text
        code = Code.ARP_SILENT if end.routes_known else Code.UNKNOWN_OUTSIDE
        return code, f"no known endpoint has {said} behind {segment}"

    def _answers(self, segment: str, links: Sequence[str], number: int, asker: int) -> bool:
        """Whether the host answers on a segment for an address of its own: of IPv4 for another link's as well.

        rp_filter holds for the question as well: arp_process() asks the routes for it.
        """
        if self.version != 4:
            return segment in links
        if segment not in links and self.network.largest(segment, "arp_ignore"):
            return False
        return (
            not asker or HostRouting(PacketPath(self.ends, {}, Connection())).distrusted(asker, number, segment) is None
        )

    def _proxies(self, segment: str, number: int) -> bool:
        if not self.network.largest(segment, "proxy_arp"):
            return False
        hop = self.network.routes(self.version).find(number)
        return hop.kind == "unicast" and hop.link != segment and self.network.forwards(self.version, segment)
