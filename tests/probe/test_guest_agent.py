"""Questions in somebody else's mouth: what its programs say is understood, and what they do not say proves nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.values import IfName, Mac
from bascule.probe import guest_agent
from bascule.probe.ask import ask
from bascule.probe.capture import CaptureSession, Tracker
from bascule.probe.domain import CapturePoint, GuestAgent, ProbeAttachment, ProbeDomain
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.system.net.netns import Namespace
from bascule.verify.expectations import judge
from tests import sites
from tests.domains import HOST, Builder, building, production
from tests.probe.agents import Speaker, agent, busybox
from tests.probe.test_capture import WAY_OUT, places

pytestmark = pytest.mark.kernel

TARGET = ip_address("10.0.0.9")


@pytest.fixture
def room() -> Iterator[Namespace]:
    with Namespace.current() as here:
        yield here


def attachment(room: Namespace, spoken_by: GuestAgent) -> ProbeAttachment:
    address = ip_interface("10.0.0.5/24")
    mac = Mac("52:54:00:00:00:05")
    return ProbeAttachment(
        endpoint="g", namespace=room, link=IfName("eth0"), mac=mac, addresses=(address,), agent=spoken_by
    )


def question(source: ProbeAttachment, protocol: str, **rest: object) -> Question:
    made = Question(source=source, protocol=Protocol(protocol), address=TARGET, patience_s=1.0)
    return replace(made, **rest)


SAID = [
    ("icmp", "0 64 bytes from 10.0.0.9: seq=0 ttl=64 time=0.512 ms", "reply from 10.0.0.9 in 0.51 ms"),
    ("icmp", "1 PING 10.0.0.9 --- 1 packets transmitted, 0 packets received, 100% packet loss", "no answer within 1 s"),
    ("icmp", "1 ping: sendto: Network is unreachable", "no route: g has none to 10.0.0.9"),
    ("icmp", "1 ping: warning: got ICMP 3 (Destination Unreachable)", "unreachable: destination unreachable"),
    ("icmp", "127", "could not be asked: status 127"),
    ("tcp", "0 open bascule 10.7.7.7 40000", "reply from 10.0.0.9"),
    ("tcp", "0 open", "reply from 10.0.0.9"),
    ("tcp", "1 nc: can't connect to remote host (10.0.0.9): Connection refused", "refused: connection refused"),
    ("tcp", "1 nc: can't connect to remote host (10.0.0.9): No route to host", "unreachable: no route to host"),
    ("tcp", "1 nc: timed out", "no answer within 1 s"),
    ("arp", "0 Unicast reply from 10.0.0.9 [52:54:00:AA:00:09] 0.5ms", "reply from 52:54:00:aa:00:09"),
    ("arp", "0 fd00::9 dev eth0 lladdr 52:54:00:aa:00:09 REACHABLE", "reply from 52:54:00:aa:00:09"),
    ("arp", "1 Sent 2 probe(s) (2 broadcast(s)) Received 0 response(s)", "no answer within 1 s"),
    ("dhcp", "0 udhcpc: started lease 10.0.0.50 from 10.0.0.1 udhcpc: lease obtained", "reply from 10.0.0.1"),
]


@pytest.mark.parametrize(("protocol", "said", "words"), SAID, ids=[f"{p}-{s[:30]}" for p, s, _ in SAID])
def test_what_its_programs_say(tmp_path: Path, room: Namespace, protocol: str, said: str, words: str) -> None:
    with agent(tmp_path, lambda number, _: f"{number} {said}") as one:
        (answer,) = ask([question(attachment(room, one), protocol, port=80 if protocol == "tcp" else 0)])
    assert answer.words == words
    assert str(answer.seen) == ("10.7.7.7" if "10.7.7.7" in said else "None")


def test_how_it_is_asked(tmp_path: Path, room: Namespace) -> None:
    heard: list[str] = []

    def speak(number: str, words: str) -> str:
        heard.append(words)
        return f"{number} 1 nothing"

    with agent(tmp_path, speak) as one:
        mine = attachment(room, one)
        ask([question(mine, "icmp", size=1400, via=IfName("eth0")), question(mine, "tcp", port=80)], patience=3.0)
    icmp, tcp = sorted(heard)
    assert icmp.split()[:5] == ["icmp", "52:54:00:00:00:05", "10.0.0.9", "3", "1372"]
    assert tcp == "tcp - 10.0.0.9 3 80"


def asked(room: Namespace, one: GuestAgent, count: int = 20) -> tuple[Answer, ...]:
    mine = attachment(room, one)
    return ask([question(mine, "tcp", port=port) for port in range(1, 1 + count)])


def test_many_at_a_time_in_any_order_and_old_answers_are_passed_over(tmp_path: Path, room: Namespace) -> None:
    def speak(number: str, words: str) -> str:
        port = int(words.rpartition(" ")[2])
        time.sleep((port * 7 % 5) / 100)
        return f"q0 0 open bascule 10.0.0.99 1\nrubbish\n{number} 0 open bascule 10.0.0.{port} 1"

    with agent(tmp_path, speak) as one:
        seen = [str(answer.seen) for answer in asked(room, one)]
    assert seen == [f"10.0.0.{port}" for port in range(1, 21)]


@pytest.mark.parametrize("lines", [None, 3])
def test_who_says_nothing_or_hangs_up_was_not_asked(
    tmp_path: Path, room: Namespace, monkeypatch: pytest.MonkeyPatch, lines: int | None
) -> None:
    monkeypatch.setattr(guest_agent, "SILENT_S", 0.3)
    with agent(tmp_path, lambda *_: None, lines=lines) as one:
        answers = asked(room, one)
    assert {answer.response for answer in answers} == {Response.NOT_ASKED}
    assert {answer.detail for answer in answers} == {"g did not say what came of it"}


def test_a_line_to_nobody(tmp_path: Path, room: Namespace) -> None:
    nobody = GuestAgent(path=tmp_path / "nobody", asks=frozenset(), answers=frozenset())
    (answer,) = asked(room, nobody, 1)
    assert answer.words.startswith("could not be asked: nobody there takes questions from Bascule")


# a guest of a scene whose NIC is seen at its tap, and whose questions its own programs ask


@pytest.fixture(scope="module")
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        yield builder


def as_real(scene: Builder, name: str, one: GuestAgent) -> ProbeDomain:
    """The scene's probe_domain with one guest that speaks for itself, and whose namespace nobody enters."""
    probe_domain = scene.probe_domain
    own = probe_domain.attachments[name][0]
    host = scene.namespaces[HOST]
    far = CapturePoint(node=name, namespace=host, link=own.link, tap=IfName(f"{name}.0"), mac=own.mac)
    return replace(
        probe_domain,
        attachments={**probe_domain.attachments, name: (replace(own, namespace=host, agent=one),)},
        points=(*(point for point in probe_domain.points if point.node != name), far),
        patience=2.0,
    )


@pytest.fixture(scope="module")
def speaker(scene: Builder, tmp_path_factory: pytest.TempPathFactory) -> Speaker:
    return busybox(tmp_path_factory.mktemp("bin"), scene.namespaces["guest_02"])


@pytest.mark.parametrize(("protocol", "port"), [("icmp", 0), ("tcp", 80)])
def test_its_frames_are_followed_behind_nat_and_back(
    scene: Builder, speaker: Speaker, tmp_path: Path, protocol: str, port: int
) -> None:
    with agent(tmp_path, speaker) as one:
        probe_domain = as_real(scene, "guest_02", one)
        made = Question(
            source=probe_domain.attachments["guest_02"][0],
            protocol=Protocol(protocol),
            address=ip_address("129.230.200.9"),
            port=port,
        )
        ask([made])  # the neighbours and switches learn the way
        with CaptureSession(probe_domain.points, [made]) as watch:
            (answer,) = ask([made], watch=watch)
            track = Tracker(watch.captured).follow(answer)
    assert answer.ok
    assert places(track.requests) == WAY_OUT
    assert places(track.replies) == [(node, link, not out) for node, link, out in reversed(WAY_OUT)]
    assert track.rtt_ms is not None


def test_the_verdicts_are_those_of_a_namespace(scene: Builder, speaker: Speaker, tmp_path: Path) -> None:
    wishes = [
        sites.expect("guest_02", "customer", "reach", seen_as="dmz"),
        sites.expect("guest_02", "customer", "reach", "tcp/80", seen_as="dmz"),
        sites.expect("guest_02", "guest_03", "reach", "arp"),
        sites.expect("guest_02", "customer", "no-reach"),
        sites.expect("desk", "guest_02", "reach"),
        sites.expect("customer", "guest_02", "no-reach"),
    ]
    site = sites.production(*wishes)
    light = judge(site, scene.probe_domain)
    with agent(tmp_path, speaker) as one:
        real = judge(site, as_real(scene, "guest_02", one))
    assert [(x.observed, x.ok, x.witness.way) for x in real] == [(x.observed, x.ok, x.witness.way) for x in light]
    assert [x.ok for x in real] == [True, True, True, False, True, True]


def test_silence_of_its_own_is_no_isolation(scene: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_agent, "SILENT_S", 0.3)
    wishes = [
        sites.expect("guest_02", "customer", "no-reach"),
        sites.expect("guest_02", "customer", "reach"),
        sites.expect("guest_02", "dmz", "no-reach", "udp/53"),
        sites.expect("dmz", "guest_02", "no-reach", "udp/7"),
    ]
    with agent(tmp_path, lambda *_: None) as one:
        outcomes = judge(sites.production(*wishes), as_real(scene, "guest_02", one))
    assert [(x.observed, x.ok) for x in outcomes] == [("not asked", None)] * 4
    assert "did not say what came of it" in outcomes[0].witness.sentence
    assert "guest_02 cannot ask by udp here" in outcomes[2].witness.sentence
    assert "guest_02 answers nothing by udp here" in outcomes[3].witness.sentence
