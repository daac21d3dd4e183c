"""What was seen, as data for machines and a sentence for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from bascule.errors import Place
from bascule.model.site import Expectation, Flow, Machine, Site
from bascule.model.site_place import NOWHERE
from bascule.model.values import IpAddress
from bascule.verify.endpoints import Endpoints

Direction = Literal["in", "out"]


class Hop(Struct, frozen=True):
    """A link that a frame passed: ``node`` is the endpoint, host or network that the link belongs to.

    ``sender`` and ``receiver`` are the addresses in its packet there, ``port`` the one that it goes to: a router on
    the way may have put others in.
    """

    node: str
    link: str
    direction: Direction
    bridge: str = ""  # of which the link is a port
    sender: IpAddress | None = None
    receiver: IpAddress | None = None
    port: int = 0


class Witness(Struct, frozen=True, kw_only=True):
    """Why a verdict is believed.

    ``hops`` are the links that the question's frame passed, in order; ``control`` is the question that passed where
    it should (or the words why none did); ``because`` names what in the site file opened the way, at ``place``.
    """

    sentence: str
    hops: tuple[Hop, ...] = ()
    reply: str = ""
    seen_as: str = ""
    control: str = ""
    because: str = ""
    place: Place | None = None

    @property
    def way(self) -> tuple[tuple[str, str], ...]:
        """The hops as (node, link), for drawing."""
        return tuple((hop.node, hop.link) for hop in self.hops)

    def as_json(self) -> dict[str, object]:
        """The witness for ``--json``; what is empty is left out."""
        data: dict[str, object] = {
            "sentence": self.sentence,
            "hops": [{"node": hop.node, "link": hop.link, "direction": hop.direction} for hop in self.hops],
        }
        for name in ("reply", "seen_as", "control", "because"):
            if getattr(self, name):
                data[name] = getattr(self, name)
        if self.place is not None:
            data |= {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return data


def cause(site: Site, endpoints: Endpoints, expected: Expectation, hops: Sequence[Hop]) -> tuple[str, Place]:
    """What in the file let a frame pass, and its line.

    A masquerade on the way or a flow that a machine forwards, else where a guest is plugged in.
    """
    for hop in hops:
        machine = site.machines.get(hop.node)
        is_way = machine and hop.node not in {expected.source, expected.target}
        if machine and is_way and machine.masquerade and expected.source in machine.masquerade.sources:
            return f"{machine.name} masquerades {expected.source} to {machine.masquerade.to}", machine.masquerade.place
        flow = _flow(endpoints, expected, machine) if machine and is_way else None
        if machine and flow:
            return f"{machine.name} forwards {flow}", flow.place
    for name in (expected.source, expected.target):
        guest = site.guests.get(name)
        for nic in guest.nics if guest else ():
            taps = {hop.link for hop in hops}
            if nic.tap in taps or len(guest.nics if guest else ()) == 1:
                return f"{name} is plugged into {nic.into}", nic.place
    for name in (expected.source, expected.target):
        place = getattr(site.machines.get(name) or site.hosts.get(name), "place", NOWHERE)
        if place != NOWHERE:
            return (
                f"{name} is on {', '.join(sorted({str(f.network) for f in endpoints.attachments(name)}))}",
                place,
            )
    return "the expectation itself", expected.place


def _flow(endpoints: Endpoints, expected: Expectation, machine: Machine) -> Flow | None:
    """What a machine is said to forward that is about both ends, by name or by network."""
    for flow in machine.forwards or ():
        for names, end in ((flow.sources, expected.source), (flow.targets, expected.target)):
            own = {end, *(str(attachment.network) for attachment in endpoints.attachments(end))}
            if names and not own & set(names):
                break
        else:
            return flow
    return None
