from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bascule.model.site import Expectation
from bascule.probe.ask import ask
from bascule.probe.protocols import PendingQuestion
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.verify.cases import share_of_silence
from bascule.verify.expectations import Outcome, judge
from tests import sites
from tests.domains import Builder, building, production

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        yield builder


def outcome(scene: Builder, expected: Expectation) -> Outcome:
    return judge(sites.production(expected), scene.probe_domain)[0]


def test_production_holds_with_its_witnesses(scene: Builder) -> None:
    outcomes = judge(sites.production(*sites.WISHES), scene.probe_domain)
    assert [(o.observed, o.ok) for o in outcomes] == [
        ("reach", True), ("no-reach", True), ("reach", True), ("reach", True), ("no-reach", True), ("reach", True),
    ]  # fmt: skip
    assert outcomes[0].witness.sentence.startswith("left customer, crossed eth5 and br4, arrived at guest_01, reply")
    assert outcomes[1].witness.sentence == "left customer, arrived at dmz, not forwarded"
    assert outcomes[3].witness.seen_as == "129.230.0.1 (dmz)"
    assert "was forwarded by dmz, arrived at customer" in outcomes[3].witness.sentence
    assert outcomes[4].witness.sentence == "left guest_03, crossed br3 and eth4, arrived at dmz, not forwarded"
    assert ("vmserver", "eth4") in outcomes[4].witness.way
    document = json.loads(json.dumps([o.as_json() for o in outcomes]))
    assert document[3]["seen_as"] == "dmz"
    assert document[4]["witness"]["hops"][0] == {"node": "guest_03", "link": "eth0", "direction": "out"}


def test_who_was_seen_must_be_who_was_named(scene: Builder) -> None:
    wrong = outcome(scene, sites.expect("guest_02", "customer", "reach", "tcp/80", seen_as="desk"))
    assert (wrong.observed, wrong.ok) == ("reach", False)
    assert "seen as 129.230.0.1 (dmz), not as desk" in wrong.witness.sentence


def test_a_dead_service_is_no_isolation(scene: Builder) -> None:
    dead = outcome(scene, sites.expect("customer", "guest_02", "no-reach", "tcp/3390"))
    assert (dead.observed, dead.ok) == ("unproven", False)
    assert "guest_02 does not answer its own network either" in dead.witness.control


def test_a_broken_no_reach_names_the_path_and_the_line(scene: Builder) -> None:
    broken = outcome(scene, sites.expect("guest_03", "guest_02", "no-reach"))
    assert (broken.observed, broken.ok) == ("reach", False)
    assert broken.witness.sentence.startswith("left guest_03, crossed br3, arrived at guest_02, reply")
    assert "because of production.yaml:36:12 (guest_03 is plugged into br3)" in broken.witness.sentence
    masked = outcome(scene, sites.expect("guest_02", "customer", "no-reach"))
    assert "because of production.yaml:43:18 (dmz masquerades guest_02 to internet)" in masked.witness.sentence


def test_a_range_is_asked_port_by_port(scene: Builder) -> None:
    part = outcome(scene, sites.expect("desk", "guest_02", "reach", "tcp/8042-8043"))
    assert (part.observed, part.ok) == ("no-reach", False)
    assert part.witness.sentence.startswith("port 8043 not reached: left desk")
    assert "connection refused" in part.witness.sentence


def test_the_host_asks_and_arp_and_udp_count(scene: Builder) -> None:
    for expected in (
        sites.expect("vmserver", "guest_01", "reach", "arp"),
        sites.expect("vmserver", "guest_02", "reach"),
        sites.expect("desk", "dmz", "reach", "udp/53", seen_as="desk"),
    ):
        assert outcome(scene, expected).ok is True, expected


def test_what_cannot_be_asked_is_not_green(scene: Builder) -> None:
    none = outcome(scene, sites.expect("elsewhere", "guest_01", "reach"))
    assert (none.observed, none.ok) == ("not asked", None)
    assert none.witness.sentence == "not asked, because elsewhere cannot be used as a source here"


def test_nobody_at_home_is_found_by_the_search_for_it(scene: Builder) -> None:
    ghost = sites.guest("ghost", "52:54:00:00:99:99", "br3", "192.168.1.99/24", line=60)
    site = sites.production(sites.expect("desk", "ghost", "reach"), sites.expect("customer", "ghost", "no-reach"))
    site = type(site)(
        **{**{f: getattr(site, f) for f in site.__struct_fields__}, "guests": {**site.guests, "ghost": ghost}}
    )
    lost, dead = judge(site, scene.probe_domain)
    assert (lost.observed, lost.ok) == ("no-reach", False)
    assert lost.witness.sentence.startswith("desk asked the wire for 192.168.1.99, crossed br3")
    assert lost.witness.sentence.endswith("never arrived at ghost")
    assert (dead.observed, dead.ok) == ("unproven", False)


SILENT = 1500.0


def waited(scene: Builder, *waits_ms: float | None) -> list[Answer]:
    question = Question(source=scene.probe_domain.attachments["desk"][0], protocol=Protocol.ICMP)
    came = [Response.SILENCE if one == SILENT else Response.REPLY for one in waits_ms]
    return [Answer(question=question, response=how, waited_ms=one) for how, one in zip(came, waits_ms, strict=True)]


def test_in_a_twin_silence_is_long_beside_the_slowest_answer(scene: Builder) -> None:
    """As long as a question that is put twice; longer where others were slower; all of it where one was not heard."""
    shares = [share_of_silence(waited(scene, *one)) for one in ((0.1, 8.0), (0.1, 40.0), (0.1, 90.0))]
    assert shares == pytest.approx([0.5, 0.8, 1.0])
    assert [share_of_silence(waited(scene, *one)) for one in ((), (0.1, SILENT), (0.1, None))] == [1.0, 1.0, 1.0]


def test_an_answer_says_how_long_it_was_waited_for_since_the_first_try(scene: Builder) -> None:
    """The time of the try that was answered would call a wire fast which lost the first one."""
    source = scene.probe_domain.attachments["desk"][0]
    question = Question(source=source, protocol=Protocol.ICMP, address=source.addresses[0].ip)
    (answer,) = ask([question])
    assert answer.rtt_ms is not None
    assert answer.waited_ms is not None
    assert answer.rtt_ms <= answer.waited_ms
    second = PendingQuestion(question, 0, None, 0)  # type: ignore[arg-type]  # it sends nothing
    second.begun -= 0.2
    second.replied()
    assert second.answer is not None
    assert second.answer.rtt_ms is not None
    assert second.answer.waited_ms is not None
    assert second.answer.rtt_ms < 200 <= second.answer.waited_ms
