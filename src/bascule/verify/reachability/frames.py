"""A question asked with real frames as well, beside what the model says of it."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address, ip_interface

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.agent_channel import agent_behind
from bascule.model.links import Loopback
from bascule.model.state import Link
from bascule.model.values import IfName, IpAddress, Mac
from bascule.observe.guest_namespaces import behind_veth
from bascule.probe.ask import ask
from bascule.probe.domain import ProbeAttachment
from bascule.probe.inside import ask_inside
from bascule.probe.question import Protocol, Question, Response
from bascule.system.net.netns import Namespace
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import text_of
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
    """Put the question from this host itself, from a guest whose inside is a namespace here, or by a guest's agent.

    Raises NotPermitted.
    """
    asked, service = found.asked, found.service
    if asked.source is None and asked.target is None:
        return _not_asked("what this host sends to itself is on no wire")
    address = ip_address(text_of(asked.version, asked.address))
    link = found.network.link(asked.source.port) if asked.source is not None else None
    if link is not None and link.options.kind in {"tun", "macvtap"}:
        return _by_agent(found, link.name, address)
    with contextlib.ExitStack() as held:
        source = _of_host(found, address, here) if asked.source is None else _inside(found, held)
        if isinstance(source, str):
            return _not_asked(source)
        protocol = Protocol(service.protocol)
        questions = [Question(source=source, protocol=protocol, address=address, port=service.first)]
        is_beside = any(address in one.network for one in source.addresses)
        if is_beside and protocol is not Protocol.ARP:  # silence of one who is not there proves nothing
            questions.append(Question(source=source, protocol=Protocol.ARP, address=address))
        answers = ask(questions)
    is_there = len(answers) < 2 or answers[1].response is Response.REPLY
    return _judged(found, answers[0].response, answers[0].detail, is_there=is_there)


def _by_agent(found: WhyAnswer, tap: IfName, address: IpAddress) -> FrameVerdict:
    """What a virtual machine says that was told to ask by its guest agent."""
    asked, name = found.asked, found.asked.by.name
    assert asked.source is not None  # the caller has seen it
    own = next((number for number, version, _ in asked.source.addresses if version == asked.version), None)
    sender = text_of(asked.version, own) if own is not None else ""
    protocol = Protocol(found.service.protocol)
    try:
        if (channel := agent_behind(tap)) is None:
            return _not_asked(f"{name} has no port for a guest agent that would ask: run it in {name}")
        with contextlib.closing(channel):
            said = ask_inside(channel, name, _mac(asked.source), protocol, address, found.service.first, sender)
    except BasculeError as error:
        return _not_asked(f"{name} is a virtual machine, and {error.problems[0].message}: run it in {name}")
    told = _judged(found, said.response, said.detail, is_there=said.is_there)
    asked_by = f" (asked by {name}'s guest agent)" if said.response is not Response.NOT_ASKED else ""
    return replace(told, words=told.words + asked_by)


def _mac(end: WireEnd) -> Mac:
    return Mac(end.mac.to_bytes(6, "big").hex(":"))


def _not_asked(words: str) -> FrameVerdict:
    return FrameVerdict(response=Response.NOT_ASKED, result=Certainty.UNKNOWN, words=words)


def _of_host(found: WhyAnswer, address: IpAddress, here: Namespace) -> ProbeAttachment | str:
    """The link of this host that is nearest to an address; why there is none."""
    near = [link for link in found.network.state.links.values() if _speaks(link)]
    near.sort(key=lambda link: not on_wire(link, address))
    return _attachment(found, near[0], here) if near else "no link of this host is up and has an address"


def _inside(found: WhyAnswer, held: contextlib.ExitStack) -> ProbeAttachment | str:
    """The NIC of a guest that is a namespace of this machine; why nothing here can send from inside of another."""
    end, name = found.asked.source, found.asked.by.name
    assert end is not None  # the caller has seen it
    link = found.network.link(end.port)
    inner = behind_veth(link.facts.index) if link is not None and link.options.kind == "veth" else None
    if inner is None:
        return f"{name} is not a namespace of this machine that can be entered: run it in {name}, or rehearse the file"
    namespace = held.enter_context(inner.namespace)
    return ProbeAttachment(
        endpoint=name, namespace=namespace, link=inner.link, mac=_mac(end), addresses=inner.addresses
    )


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
