from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from bascule.model.values import IfName
from bascule.probe.ask import ask
from bascule.probe.question import Answer, Protocol, Question, Response
from tests.domains import Builder, building, production
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        builder.ip("desk", "address add fd00::50/64 dev eth0 nodad")
        builder.ip("guest_02", "address add fd00::102/64 dev eth0 nodad")
        yield builder


def question(
    scene: Builder, name: str, protocol: str, address: str | None = None, port: int = 0, *, patience_s: float = 1.5,
    size: int = 0, via: str | None = None, attachment: int = 0,
) -> Question:  # fmt: skip
    return Question(
        source=scene.probe_domain.attachments[name][attachment], protocol=Protocol(protocol), port=port,
        patience_s=patience_s, size=size,
        address=ip_address(address) if address else None, via=IfName(via) if via else None,
    )  # fmt: skip


def one(*args: object, **kwargs: object) -> Answer:
    return ask([question(*args, **kwargs)])[0]  # type: ignore[arg-type]  # passed on as they come


def test_each_way_of_asking_gets_its_reply(scene: Builder) -> None:
    questions = [
        question(scene, "desk", "arp", "192.168.1.33"),
        question(scene, "desk", "icmp", "192.168.1.33"),
        question(scene, "desk", "tcp", "192.168.1.33", 502),
        question(scene, "desk", "udp", "192.168.1.1", 53),
        question(scene, "desk", "arp", "fd00::102"),
        question(scene, "desk", "icmp", "fd00::102"),
        question(scene, "desk", "tcp", "fd00::102", 3389),
    ]
    answers = ask(questions)
    assert [answer.response for answer in answers] == [Response.REPLY] * len(questions)
    assert [answer.question for answer in answers] == questions
    guest_02, guest_03 = (scene.probe_domain.attachments[name][0].mac for name in ("guest_02", "guest_03"))
    assert answers[0].mac == guest_03
    assert answers[4].mac == guest_02
    assert answers[2].seen == answers[3].seen == ip_address("192.168.1.50")
    assert answers[6].seen == ip_address("fd00::50")
    assert all(answer.rtt_ms is not None and answer.rtt_ms < 60_000 for answer in answers)


def test_what_comes_back_instead(scene: Builder) -> None:
    answers = ask(
        [
            question(scene, "desk", "tcp", "192.168.1.33", 503),
            question(scene, "desk", "udp", "192.168.1.33", 503),
            question(scene, "vmserver", "icmp", "8.8.8.8"),
            question(scene, "desk", "icmp", "192.168.1.99", patience_s=0.3),
            question(scene, "desk", "arp", "192.168.1.99", patience_s=0.3),
            question(scene, "vmserver", "tcp", "192.168.1.33", 502, via="gone"),
        ]
    )
    assert [answer.response for answer in answers] == [
        Response.REFUSED, Response.REFUSED, Response.NO_ROUTE, Response.SILENCE, Response.SILENCE, Response.NOT_ASKED,
    ]  # fmt: skip
    assert answers[3].words == "no answer within 0.3 s"


def test_a_frame_of_the_mtu_passes_and_one_byte_more_does_not(scene: Builder) -> None:
    fits, not_fits = (one(scene, "desk", "icmp", "192.168.1.33", size=size) for size in (1500, 1501))
    assert fits.ok
    assert (not_fits.response, "do not fit" in not_fits.detail) == (Response.UNREACHABLE, True)
    assert one(scene, "desk", "icmp", "fd00::102", size=1500).ok


def test_reject_says_who_rejects(scene: Builder) -> None:
    scene.nft("dmz", "table inet r { chain f { type filter hook forward priority -1;"
                     " ip saddr 192.168.1.50 icmp type echo-request reject with icmpx admin-prohibited;"
                     " ip saddr 192.168.1.50 tcp dport 80 reject with icmpx host-unreachable;"
                     " ip saddr 192.168.1.50 tcp dport 81 reject with tcp reset;"
                     " ip saddr 192.168.1.50 udp dport 5000 reject with icmpx admin-prohibited; }\n}\n")  # fmt: skip
    try:
        icmp, tcp, reset, udp = ask(
            [
                question(scene, "desk", "icmp", "129.230.200.9"),
                question(scene, "desk", "tcp", "129.230.200.9", 80),
                question(scene, "desk", "tcp", "129.230.200.9", 81),
                question(scene, "desk", "udp", "129.230.200.9", 5000),
            ]
        )
    finally:
        scene.nft("dmz", "delete table inet r\n")
    for answer in (icmp, udp):
        assert answer.response is Response.UNREACHABLE, answer
        assert answer.detail == "192.168.1.1 says: administratively prohibited"
    assert tcp.detail == "192.168.1.1 says: host unreachable"
    assert reset.response is Response.REFUSED


def test_the_askers_own_filter_is_named(scene: Builder) -> None:
    scene.nft(
        "desk", "table inet o { chain o { type filter hook output priority 0; icmp type echo-request drop; }\n}\n"
    )
    try:
        answer = one(scene, "desk", "icmp", "192.168.1.33")
    finally:
        scene.nft("desk", "delete table inet o\n")
    assert (answer.response, "desk's own filter" in answer.detail) == (Response.UNREACHABLE, True)


def test_a_server_that_says_nothing_is_reached_all_the_same(scene: Builder) -> None:
    program = "import socket,time; s=socket.create_server(('',7000)); print(1,flush=True); k=s.accept(); time.sleep(60)"
    with scene.namespaces["desk"].entered():
        server = subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE)
    try:
        assert server.stdout
        server.stdout.readline()
        answer = one(scene, "guest_03", "tcp", "192.168.1.50", 7000)
    finally:
        server.kill()
        server.communicate()
    assert answer.ok
    assert answer.seen is None


def test_hundreds_at_once_wait_side_by_side(scene: Builder) -> None:
    questions = [question(scene, "desk", "tcp", "192.168.1.99", port, patience_s=2.0) for port in range(1000, 1200)]
    questions += [question(scene, "desk", "icmp", "192.168.1.33", size=n) for n in range(100, 300)]
    start = time.monotonic()
    answers = ask(questions)
    assert time.monotonic() - start < HUNG_S  # one after the other these would wait for 400 s
    assert [answer.ok for answer in answers] == [False] * 200 + [True] * 200


def test_a_dhcp_server_is_heard(scene: Builder) -> None:
    dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not dnsmasq:
        pytest.skip("dnsmasq is not installed (apt-get install dnsmasq-base)")
    with scene.namespaces["dmz"].entered():
        server = subprocess.Popen(
            [dnsmasq, "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--no-ping",
             "--bind-interfaces", "--dhcp-range=192.168.1.200,192.168.1.210", "--leasefile-ro",
             "--pid-file", "--log-facility=-", "--dhcp-authoritative"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        answer = one(scene, "desk", "dhcp", patience_s=HUNG_S)
    finally:
        server.kill()
        server.wait()
    assert answer.ok, answer
    assert answer.address == ip_address("192.168.1.1")
    assert answer.offered in [ip_address(f"192.168.1.{n}") for n in range(200, 211)]
    silent = one(scene, "customer", "dhcp", patience_s=0.3)
    assert silent.response is Response.SILENCE


def test_no_question_no_answer() -> None:
    assert ask([]) == ()
