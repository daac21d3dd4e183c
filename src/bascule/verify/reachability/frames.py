"""A question asked with real frames as well, beside what the model says of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_interface

from msgspec import Struct

from bascule.model.links import Loopback
from bascule.model.state import Link
from bascule.model.values import IpAddress
from bascule.probe.ask import ask
from bascule.probe.domain import ProbeAttachment
from bascule.probe.question import Protocol, Question, Response
from bascule.system.net.netns import Namespace
from bascule.topology.trace.answer import Certainty
from bascule.verify.reachability.live import WhyAnswer

REFUSING = {Response.REFUSED, Response.NO_ROUTE, Response.UNREACHABLE}


class FrameVerdict(Struct, frozen=True, kw_only=True):
    """What came of real frames. ``response`` is the probe's word for it; ``result`` is unknown where it proves nothing.

    ``agrees`` is None where there is nothing to compare: the frames or the model left it open.
    """

    response: str
    result: Certainty
    words: str
    agrees: bool | None = None


def ask_frames(found: WhyAnswer, here: Namespace) -> FrameVerdict:
    """Put the question from this host itself; nobody else's NIC can ask from here. Raises NotPermitted."""
    asked, service = found.asked, found.service
    if asked.source is not None:
        words = f"only this host itself can ask from here: run it in {asked.by.name}, or rehearse the file"
        return FrameVerdict(response=Response.NOT_ASKED, result=Certainty.UNKNOWN, words=words)
    if asked.target is None:
        words = "what this host sends to itself is on no wire"
        return FrameVerdict(response=Response.NOT_ASKED, result=Certainty.UNKNOWN, words=words)
    address = IPv4Address(asked.address) if asked.version == 4 else IPv6Address(asked.address)
    near = [(link, on_wire(link, address)) for link in found.network.state.links.values() if _speaks(link)]
    near.sort(key=lambda one: not one[1])
    if not near:
        words = "no link of this host is up and has an address"
        return FrameVerdict(response=Response.NOT_ASKED, result=Certainty.UNKNOWN, words=words)
    (link, is_beside), protocol = near[0], Protocol(service.protocol)
    questions = [
        Question(source=_attachment(found, link, here), protocol=protocol, address=address, port=service.first)
    ]
    if is_beside and protocol is not Protocol.ARP:  # silence of one who is not there proves nothing
        questions.append(Question(source=questions[0].source, protocol=Protocol.ARP, address=address))
    answers = ask(questions)
    is_there = len(answers) < 2 or answers[1].response is Response.REPLY
    return _judged(found, answers[0].response, answers[0].detail, is_there=is_there)


def _speaks(link: Link) -> bool:
    return link.up and link.mac is not None and bool(link.addresses) and not isinstance(link.options, Loopback)


def on_wire(link: Link, address: IpAddress) -> bool:
    """Whether an address lies in a subnet of a link."""
    return any(address in ip_interface(one.ip).network for one in link.addresses)


def _attachment(found: WhyAnswer, link: Link, here: Namespace) -> ProbeAttachment:
    assert link.mac is not None  # _speaks() has seen one
    addresses = tuple(ip_interface(one.ip) for one in link.addresses if not one.is_link_local)
    return ProbeAttachment(
        endpoint=found.asked.by.name, namespace=here, link=link.name, mac=link.mac, addresses=addresses
    )


def _judged(found: WhyAnswer, response: Response, detail: str, *, is_there: bool) -> FrameVerdict:
    target, model = found.asked.of.name, found.result
    rejected = any(one.hit is not None and one.hit.verdict == "reject" for one in found.asked.answer.blockers)
    result, words = Certainty.UNKNOWN, f"{response}{': ' if detail else ''}{detail}"
    if response is Response.REPLY or (response is Response.REFUSED and not rejected):
        result = Certainty.YES
        words += "" if response is Response.REPLY else f" ({target} answers, and nobody listens there)"
    elif response in REFUSING:
        result = Certainty.NO
    elif response is Response.SILENCE and model is not Certainty.YES:
        result = Certainty.NO if model is Certainty.NO else Certainty.UNKNOWN
    elif response is Response.SILENCE and found.service.protocol == "udp":
        words += f": {target} may have nothing to say to a datagram"
    elif response is Response.SILENCE and not is_there:
        words += f", and none to ARP either: {target} may be off"
    elif response is Response.SILENCE and found.asked.target is not None and found.asked.target.outside:
        words += f": what stands between this host and {target} is not in the model"
    elif response is Response.SILENCE:
        result = Certainty.NO
        words += f": something that is not in the model drops it, be it {target} itself"
    decided = {result, model} <= {Certainty.YES, Certainty.NO}
    return FrameVerdict(response=response, result=result, words=words, agrees=result is model if decided else None)
