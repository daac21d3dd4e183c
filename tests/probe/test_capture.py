from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bascule.probe.ask import ask
from bascule.probe.capture import CapturedFrame, CaptureSession, FrameTrack, Tracker
from bascule.probe.question import Protocol, Question
from tests.domains import Builder, building, production
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel

WAY_OUT = [
    ("guest_02", "eth0", True), ("vmserver", "guest_02.0", False), ("vmserver", "eth4", True),
    ("internal", "p-eth4", False), ("internal", "dmz-eth0", True), ("dmz", "eth0", False), ("dmz", "eth1", True),
    ("internet", "dmz-eth1", False), ("internet", "customer-eth0", True), ("customer", "eth0", False),
]  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        yield builder


def follow(
    scene: Builder, name: str, protocol: str, address: str, port: int = 0, patience_s: float = 1.5
) -> FrameTrack:
    question = Question(
        source=scene.probe_domain.attachments[name][0],
        protocol=Protocol(protocol), address=ip_address(address), port=port, patience_s=patience_s,
    )  # fmt: skip
    with CaptureSession(scene.probe_domain.points, [question]) as watch:
        answers = ask([question], watch=watch)
        return Tracker(watch.captured).follow(answers[0])


def places(captured: tuple[CapturedFrame, ...]) -> list[tuple[str, str, bool]]:
    return list(dict.fromkeys((s.point.node, str(s.point.link), s.outgoing) for s in captured))


@pytest.mark.parametrize(("protocol", "port"), [("icmp", 0), ("udp", 5000), ("tcp", 80)])
def test_a_question_is_followed_behind_nat_and_back(scene: Builder, protocol: str, port: int) -> None:
    follow(scene, "guest_02", protocol, "129.230.200.9", port)  # the neighbours and switches learn the way
    track = follow(scene, "guest_02", protocol, "129.230.200.9", port)
    assert places(track.requests) == WAY_OUT
    assert places(track.replies) == [(node, link, not out) for node, link, out in reversed(WAY_OUT)]
    sources = {str(s.frame.packet.src) for s in track.requests if s.frame.packet}
    assert sources == {"192.168.1.102", "129.230.0.1"}
    assert track.rtt_ms is not None
    assert 0 < track.rtt_ms < 1000 * HUNG_S


def test_a_dropped_question_is_last_seen_where_it_was_dropped(scene: Builder) -> None:
    track = follow(scene, "guest_03", "icmp", "129.230.200.9", patience_s=0.3)
    assert places(track.requests)[-1] == ("dmz", "eth0", False)
    assert track.replies == ()
    assert track.rtt_ms is None


def test_two_questions_alike_are_told_apart(scene: Builder) -> None:
    attachment = scene.probe_domain.attachments["desk"][0]
    questions = [
        Question(source=attachment, protocol=Protocol.ICMP, address=ip_address("192.168.1.33"), size=size)
        for size in (100, 200)
    ]
    with CaptureSession(scene.probe_domain.points, questions) as watch:
        answers = ask(questions, watch=watch)
        tracker = Tracker(watch.captured)
    tracks = [tracker.follow(answer) for answer in answers]
    assert [places(track.requests)[-1] for track in tracks] == [("guest_03", "eth0", False)] * 2
    assert not {id(s) for s in tracks[0].requests} & {id(s) for s in tracks[1].requests}


def test_who_is_not_there_leaves_the_search_for_it(scene: Builder) -> None:
    track = follow(scene, "desk", "tcp", "192.168.1.99", 80, patience_s=0.3)
    assert track.requests == ()
    assert ("guest_03", "eth0", False) in places(track.searches)  # a broadcast is heard by all
    assert places(track.searches)[0] == ("desk", "eth0", True)


def test_nothing_is_left_open(scene: Builder) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    follow(scene, "desk", "icmp", "192.168.1.33")
    assert len(list(descriptors.iterdir())) == before
