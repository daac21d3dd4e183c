"""From captured to a path and its sentence: ``left guest_03, crossed br3 and eth4, arrived at dmz, not forwarded``."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.model.host_links import Nic
from bascule.model.site import Site
from bascule.model.values import IpAddress, series
from bascule.probe.capture import CapturedFrame, FrameTrack
from bascule.probe.domain import ProbeDomain
from bascule.probe.question import Answer, Response
from bascule.verify.nat_boundary import NatBoundaries
from bascule.verify.wire.lost import OUTSIDE
from bascule.verify.witness import Hop


class PathTraces:
    """Knows which links are endpoints' own, taps of guests, NICs of hosts and ports of switches."""

    def __init__(self, site: Site, probe_domain: ProbeDomain, boundaries: NatBoundaries) -> None:
        self.site = site
        self.boundaries = boundaries
        self.own = {
            (attachment.endpoint, attachment.link)
            for attachments in probe_domain.attachments.values()
            for attachment in attachments
        }
        self.taps: dict[str, str] = {nic.tap: nic.guest for host in site.hosts for nic in site.guest_nics(host)}
        self.nics: dict[tuple[str, str], Nic] = {
            (host.name, name): nic for host in site.hosts.values() for name, nic in host.nics.items()
        }
        self.attachment_counts = {name: len(attachments) for name, attachments in probe_domain.attachments.items()}

    def hops(self, captured: Sequence[CapturedFrame], target: str = "") -> tuple[Hop, ...]:
        """The links that the frame passed, each once per direction, without the dead ends of a flooding bridge.

        Of a broadcast that the target heard, the others who heard it are left out as well.
        """
        group = [seen for seen in captured if int(seen.frame.dst[:2], 16) & 1]
        was_heard = any(seen.point.node == target and not seen.outgoing for seen in group)
        found: dict[tuple[str, str, bool], Hop] = {}
        for seen in captured:
            point = seen.point
            if not seen.outgoing and not seen.addressed and point.master is None:
                continue  # a flooded frame that is not for this NIC
            if was_heard and not seen.outgoing and point.master is None and point.node != target:
                continue
            key = (point.node, point.link, seen.outgoing)
            found.setdefault(key, _hop(seen))
        hops = tuple(found.values())
        arrived = {hop.node for hop in hops if hop.direction == "in" and not hop.bridge}
        nodes = {hop.node for hop in hops}
        return tuple(hop for hop in hops if not self._is_dead_end(hop, hops, arrived, nodes))

    def _is_dead_end(self, hop: Hop, hops: Sequence[Hop], arrived: set[str], nodes: set[str]) -> bool:
        if hop.direction == "in" or not hop.bridge:
            return False
        beside = [x for x in hops if x.direction == "out" and x.bridge == hop.bridge and x.node == hop.node]
        leading = [x for x in beside if self._leads_on(x, arrived, nodes)]
        return bool(leading) and hop not in leading

    def _leads_on(self, hop: Hop, arrived: set[str], nodes: set[str]) -> bool:
        if hop.link in self.taps:
            return self.taps[hop.link] in arrived
        nic = self.nics.get((hop.node, hop.link))
        return nic is not None and nic.network in nodes

    def sentence(self, hops: Sequence[Hop], answer: Answer, target: str) -> str:
        """The path in words, with its end."""
        parts: list[str] = []
        entered: dict[tuple[str, str], Hop] = {}  # bridge ports by which the frame came in and has not gone out yet
        came: dict[str, Hop] = {}  # the same of a host's NICs
        for position, hop in enumerate(hops):
            if hop.bridge and hop.direction == "in":
                entered[hop.node, hop.bridge] = hop
            elif hop.direction == "out" and (into := self._routed_from(hop, entered, came)) is not None:
                if into.bridge:
                    self._say(parts, [into.link, into.bridge] if self._is_nic(into) else [into.bridge])
                parts.append(self._passed_on(into, hop, answer))
                self._say(parts, [hop.bridge or hop.link, *([hop.link] if hop.bridge and self._is_nic(hop) else [])])
            elif hop.bridge:
                if position == 0 and hop.node in self.site.hosts:
                    parts.append(f"left {hop.node}")
                self._cross(parts, entered.pop((hop.node, hop.bridge), None), hop)
            elif hop.direction == "out":
                # two captures of one moment may come in either order: who was not reached before has sent it
                first = not any(before.node == hop.node for before in hops[:position])
                by = f" by {hop.link}" if self.attachment_counts.get(hop.node, 1) > 1 and first else ""
                parts.append(f"left {hop.node}{by}" if first else f"was forwarded by {hop.node}")
            elif self._goes_through(hops, position, target):
                came[hop.node] = hop
                self._say(parts, [hop.link])
            else:
                into = entered.pop((hop.node, hop.link), None)  # the bridge itself, where the host has its address
                if into:
                    self._say(parts, [into.link, hop.link] if self._is_nic(into) else [hop.link])
                parts.append(f"arrived at {hop.node}")
        last = next((hop for hop in reversed(entered.values()) if hop.node == target), None)
        if answer.ok and last:  # no point on the bridge itself
            parts.append(f"arrived at {target} by {last.link} and {last.bridge}")
        return ", ".join([*parts, *self._end(hops, answer, target)])

    def _goes_through(self, hops: Sequence[Hop], position: int, target: str) -> bool:
        """Whether a frame that comes in by a host's NIC goes on from there, or is turned away."""
        hop = hops[position]
        if hop.node not in self.site.hosts or not self.boundaries.bridges(hop.node):
            return False
        onward = any(other.node == hop.node and other.direction == "out" for other in hops[position + 1 :])
        return onward or (position == len(hops) - 1 and hop.node != target)

    def _routed_from(self, hop: Hop, entered: dict[tuple[str, str], Hop], came: dict[str, Hop]) -> Hop | None:
        """Where a frame that leaves a host had come in, if the host routed it; a bridge passes it on as it is."""
        if hop.node not in self.site.hosts:
            return None
        same = entered.get((hop.node, hop.bridge)) if hop.bridge else None
        if same is not None and (same.sender, same.receiver) == (hop.sender, hop.receiver):
            return None
        for key in [key for key in entered if key[0] == hop.node]:
            return entered.pop(key)
        return came.pop(hop.node, None)

    def _passed_on(self, into: Hop, out: Hop, answer: Answer) -> str:
        """What a host that routes does to a packet: as whom it goes on, and to whom."""
        words = f"was forwarded by {out.node}"
        if into.receiver != out.receiver:
            forward = self.boundaries.forward(out.node, answer.question.protocol, into.port)
            to = f"{forward.guest} {forward.service}" if forward else f"{out.receiver}"
            place = forward.place if forward else None
            words = f"was forwarded by {out.node} to {to}" + (f" ({place.file}:{place.line})" if place else "")
        return words + (f" as {out.sender}" if into.sender != out.sender else "")

    def _is_nic(self, hop: Hop) -> bool:
        return hop.link not in self.taps and hop.node in self.site.hosts

    def _cross(self, parts: list[str], entered: Hop | None, left: Hop) -> None:
        if left.node not in self.site.hosts:
            return  # the building's switches are taken for granted
        words = [left.bridge]
        if entered and entered.bridge == left.bridge and self._is_nic(entered):
            words.insert(0, entered.link)
        if self._is_nic(left):
            words.append(left.link)
        self._say(parts, words)

    @staticmethod
    def _say(parts: list[str], words: list[str]) -> None:
        parts.append(f"crossed {series(words)}")

    def _end(self, hops: Sequence[Hop], answer: Answer, target: str) -> list[str]:
        if answer.ok:
            return []
        said = f"{answer.detail}" if answer.detail else answer.words
        if not hops:
            return [f"never left {answer.question.source.endpoint}: {answer.words}"]
        last = hops[-1]
        if last.direction == "in" and last.node != target and self.boundaries.bridges(last.node):
            inside = last.bridge in self.boundaries.bridges(last.node)
            if inside or not last.bridge:
                does = "rejected" if answer.response in {Response.UNREACHABLE, Response.REFUSED} else "not forwarded"
                return [*([f"crossed {last.bridge}"] if inside else []), f"{does} by {last.node}"]
        if last.bridge and last.direction == "in":
            where = last.bridge if last.node in self.site.hosts else f"the switch of {last.node}"
            return [f"not passed on by {where}"]
        if last.bridge:
            guest = self.taps.get(last.link)
            if guest is not None:
                return [f"went out to {guest} by {last.link}, and no answer came in there"]
            near = self.site.guest_nics(last.node) if last.node in self.site.hosts else ()
            tap = next((nic.tap for nic in near if (nic.guest, nic.bridge) == (target, last.bridge)), None)
            if tap is not None:  # its own bridge looked for it everywhere, and not there
                return [f"never went out to {target} by {tap}"]
            return [f"left {last.node} by {last.link}, and nothing came back: {OUTSIDE}"]
        if last.direction == "out":
            return ["last seen there"]
        if last.node == target:
            return ["which did not answer" if not answer.detail else f"which answered: {said}"]
        return ["not forwarded" + (f" ({said})" if answer.detail else "")]

    def lost_reply(self, sentence: str, track: FrameTrack, answer: Answer) -> str:
        """The target answered, but the answer did not arrive: where that was last seen."""
        source = answer.question.source.endpoint
        hops = self.hops(track.replies, source)
        back = self.sentence(hops, answer, source)
        return f"{sentence.removesuffix(', which did not answer')}; its answer {back}"

    def search(self, captured: Sequence[CapturedFrame], answer: Answer, target: str) -> str:
        """A question that never left, because a neighbour did not answer: who heard the search for it."""
        first = captured[0]
        wanted = looked_for(first) or "?"
        source = answer.question.source.endpoint
        hops = self.hops(captured)
        crossed = {hop.bridge: hop for hop in hops if hop.bridge and hop.node in self.site.hosts}
        heard = sorted({hop.node for hop in hops if hop.direction == "in" and not hop.bridge} - {source})
        words = [f"{source} asked the wire for {wanted}"]
        if crossed:
            words.append("crossed " + " and ".join(crossed))
        if target in heard:
            words.append(f"arrived at {target}, which did not answer")
        else:
            words.append((f"heard by {', '.join(heard)}, " if heard else "") + f"never arrived at {target}")
        return ", ".join(words)


def looked_for(seen: CapturedFrame) -> IpAddress | None:
    """The neighbour that an ARP request or a neighbour solicitation asks for."""
    arp, packet = seen.frame.arp, seen.frame.packet
    return arp.target if arp else packet.neighbour.target if packet and packet.neighbour else None


def _hop(seen: CapturedFrame) -> Hop:
    packet = seen.frame.packet
    return Hop(
        seen.point.node,
        seen.point.link,
        "out" if seen.outgoing else "in",
        seen.point.master or "",
        sender=packet.src if packet else None,
        receiver=packet.dst if packet else None,
        port=packet.port if packet else 0,
    )
