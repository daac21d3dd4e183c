from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from benchmarks.ping_matrix import ask_pairs

from bascule.probe.domain import ProbeAttachment
from bascule.system.run import run
from tests.domains import HOST, Builder, building

pytestmark = pytest.mark.kernel
COUNT = 12


@pytest.fixture
def scene() -> Iterator[Builder]:
    """Guests on two bridges that meet in the building's switch."""
    with building() as builder:
        builder.network("net")
        for number in (0, 1):
            builder.bridge(f"br{number}")
            builder.uplink(f"eth{number}", "net", f"br{number}")
        for number in range(COUNT):
            builder.guest(f"g{number:02}", f"br{number % 2}", f"10.0.0.{number + 1}/24", network="net")
        builder.settle()
        yield builder


def attachments(scene: Builder) -> list[ProbeAttachment]:
    return [scene.probe_domain.attachments[f"g{number:02}"][0] for number in range(COUNT)]


def test_all_pairs_pass_and_nobody_remembers(scene: Builder) -> None:
    matrix = ask_pairs(attachments(scene))
    assert matrix.ok, matrix.misses
    assert matrix.pairs == COUNT * (COUNT - 1)
    assert matrix.broadcasts == ()
    for attachment in attachments(scene):
        assert json.loads(run(["ip", "-j", "neigh", "show"], namespace=attachment.namespace).stdout) == []


def test_a_dead_guest_is_missed_by_all_and_misses_all(scene: Builder) -> None:
    scene.ip("g03", "link set eth0 down")
    matrix = ask_pairs(attachments(scene), patience_s=1.5)
    assert {(miss.source, miss.target) for miss in matrix.misses} == {
        pair for n in range(COUNT) if n != 3 for pair in ((f"g{n:02}", "g03"), ("g03", f"g{n:02}"))
    }
    assert set(matrix.broadcasts) == {"g02", "g03"}
    assert str(matrix.misses[0]) == "g00 → g03: no answer to ARP and ICMP"


def test_isolated_ports_lose_only_each_other(scene: Builder) -> None:
    run(["bridge", "link", "set", "dev", "g00.0", "isolated", "on"], namespace=scene.namespaces[HOST])
    run(["bridge", "link", "set", "dev", "g02.0", "isolated", "on"], namespace=scene.namespaces[HOST])
    matrix = ask_pairs(attachments(scene), patience_s=1.5)
    assert {(miss.source, miss.target) for miss in matrix.misses} == {("g00", "g02"), ("g02", "g00")}


def test_a_guest_that_hides_from_ping_still_answers_arp(scene: Builder) -> None:
    scene.sysctl("g05", "net/ipv4/icmp_echo_ignore_all", "1")
    matrix = ask_pairs(attachments(scene), patience_s=1.5)
    assert {(miss.target, miss.arp, miss.icmp) for miss in matrix.misses} == {("g05", True, False)}
    assert len(matrix.misses) == COUNT - 1


def test_an_unplugged_bridge_splits_the_world(scene: Builder) -> None:
    scene.ip(HOST, "link set eth1 nomaster")
    matrix = ask_pairs(attachments(scene), patience_s=1.5)
    assert len(matrix.misses) == COUNT * COUNT // 2
    assert all(int(miss.source[1:]) % 2 != int(miss.target[1:]) % 2 for miss in matrix.misses)


def test_who_has_no_address_is_named(scene: Builder) -> None:
    bare = scene.guest("bare", "br0", network="net")
    with pytest.raises(ValueError, match="bare has no IPv4 address"):
        ask_pairs([*attachments(scene), bare])
