"""An expectation as questions: who asks whom, and who else shows that the target lives."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from bascule.model.site import Expectation, Verdict
from bascule.model.values import Service
from bascule.probe.domain import ProbeAttachment
from bascule.probe.question import AGENT_ASKS_AT_MOST, PATIENCE_S, PORTS_AT_MOST, Answer, Protocol, Question, ports_of
from bascule.verify.endpoints import EndpointAddress, Endpoints
from bascule.verify.power import NONE_OFF, GuestsOff, are_off

NEGATIVE_PATIENCE_S = 0.5  # for what should not be answered; asked when the wires are known to work
PUT_TWICE_S, SLOWER_THAN_ANY = 0.25, 10
CONTROLS = 3  # endpoints that are asked whether the target lives


class Case(Struct):
    """The questions of one expectation, by address of the target; all ports of a range for each."""

    expected: Expectation
    ways: list[list[Question]] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)  # one per way of a no-reach
    refusal: str = ""
    unproven: str = ""  # why nothing can be shown: a guest that does not run, an end without an address


class Control(Struct, frozen=True):
    """The same question from others on the target's own network; each list is one endpoint's."""

    goal: EndpointAddress
    lists: tuple[tuple[Question, ...], ...]
    strangers: tuple[str, ...]  # who else is in the file but cannot be asked from here

    @property
    def where(self) -> str:
        """The target's own network, by name if it has one."""
        return self.goal.network or str(self.goal.address.network)


def share_of_silence(answers: Collection[Answer]) -> float:
    """What part of NEGATIVE_PATIENCE_S shows in a twin that nobody answers, by what was answered there just before.

    Nothing takes longer in it than the processor does: ten times the slowest answer, and never less than a question
    that was put twice. Where one did not come, or nobody measured when, all of it.
    """
    waits = [answer.waited_ms for answer in answers if answer.ok and answer.waited_ms is not None]
    if not waits or len(waits) < len(answers):
        return 1.0
    return min(1.0, max(PUT_TWICE_S, SLOWER_THAN_ANY * max(waits) / 1000) / NEGATIVE_PATIENCE_S)


def prepare(expected: Expectation, endpoints: Endpoints, off: GuestsOff = NONE_OFF, no_router: str = "") -> Case:
    """What to ask for an expectation, or why it cannot be asked here; ``no_router``: who is off by whom it would go."""
    ends = (expected.source, expected.target)
    silent = [name for name in ends if endpoints.is_silent(name)]
    if words := are_off(ends, off):
        return Case(expected, unproven=words)
    if no_router:
        return Case(expected, unproven=no_router)
    if silent:
        return Case(
            expected, unproven=f"{' and '.join(silent)} {'have' if len(silent) > 1 else 'has'} no address in this file"
        )
    case = Case(expected)
    if not endpoints.attachments(expected.source):
        case.refusal = f"{expected.source} cannot be used as a source here"
        return case
    if not endpoints.addresses(expected.target):
        case.refusal = f"no address of {expected.target} is known here"
        return case
    protocol = expected.service.protocol
    if not any(attachment.asks(protocol) for attachment in endpoints.attachments(expected.source)):
        case.refusal = f"{expected.source} cannot ask by {protocol} here"
        return case
    every = endpoints.ways(expected.source, expected.target)
    ways = [(attachment, goal) for attachment, goal in every if attachment.asks(protocol) and _answers(goal, protocol)]
    if not every and all(map(endpoints.is_inside, endpoints.addresses(expected.target))):
        case.unproven = f"{expected.target} has no address but on its own virtual networks, by which no other means it"
        return case
    if not ways:
        case.refusal = f"{expected.target} answers nothing by {protocol} here"
        return case
    is_positive = expected.verdict is Verdict.REACH
    patience = PATIENCE_S if is_positive else NEGATIVE_PATIENCE_S
    for attachment, goal in ways:
        case.ways.append(list(_questions(attachment, goal, expected.service, patience)))
        if not is_positive:
            case.controls.append(_control(expected, goal, endpoints))
    return case


def _answers(goal: EndpointAddress, protocol: str) -> bool:
    return goal.attachment is None or goal.attachment.answers(protocol)


def _control(expected: Expectation, goal: EndpointAddress, endpoints: Endpoints) -> Control:
    others: dict[str, ProbeAttachment] = {}
    for neighbour in endpoints.neighbours(goal, expected.source, expected.target):
        if neighbour.asks(expected.service.protocol):
            others.setdefault(neighbour.endpoint, neighbour)
    lists = [
        tuple(_questions(other, goal, expected.service, PATIENCE_S, via_own=True))
        for other in list(others.values())[:CONTROLS]
    ]
    known = {expected.source, expected.target}
    strangers = [name for name in endpoints.names if name not in known and not endpoints.attachments(name)]
    return Control(goal, tuple(lists), tuple(strangers))


def _questions(
    attachment: ProbeAttachment, goal: EndpointAddress, service: Service, patience_s: float, *, via_own: bool = False
) -> Iterable[Question]:
    slow = attachment.agent or (goal.attachment and goal.attachment.agent)
    for port in ports_of(service, AGENT_ASKS_AT_MOST if slow else PORTS_AT_MOST):
        yield Question(
            source=attachment,
            protocol=Protocol(service.protocol),
            address=goal.address.ip,
            port=port,
            patience_s=patience_s,
            via=attachment.link if via_own and service.protocol != "arp" else None,  # the control stays on that network
        )
