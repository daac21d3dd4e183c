"""Every hostile frame is stopped before the bridge learns from it, and every legitimate one passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.frames.guarding.sample import Sample
from bascule.system.run import run
from tests.guards.segment import PARTIES, ROUTER, Segment, segment, site

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bridge() -> Iterator[Segment]:
    with segment() as one:
        yield one


@pytest.fixture(scope="module")
def strict(bridge: Segment) -> Segment:
    bridge.guard(site("strict"))
    return bridge


def test_the_table_is_read_as_it_was_written(bridge: Segment) -> None:
    extras = "also: [10.0.0.99, 10.8.0.0/24, {vrrp: 7, address: 10.0.0.100}], may: [router, tags], isolated: true"
    for some in (site("strict"), site("mac"), site("strict", extras + ", limit: {broadcast: 100/s}")):
        assert bridge.guard(some) == bridge.loaded()


@pytest.mark.parametrize("sample", ATTACKS, ids=[one.name for one in ATTACKS])
def test_a_hostile_frame_is_stopped_and_teaches_the_bridge_nothing(strict: Segment, sample: Sample) -> None:
    strict.greet()
    passed = [(frame.hex(), ports) for frame, ports in strict.send(sample.frames(PARTIES)) if ports]
    assert not passed
    assert strict.where(ROUTER) == "up.0"
    assert strict.where(PARTIES.other.mac) == "db.0"
    assert not strict.where("02:ba:d0:ba:d0:ba")


@pytest.mark.parametrize("sample", LEGITIMATE, ids=[one.name for one in LEGITIMATE])
def test_a_legitimate_frame_passes(strict: Segment, sample: Sample) -> None:
    strict.greet()
    assert all(ports for _, ports in strict.send(sample.frames(PARTIES)))


def test_the_verdicts_are_the_same_without_br_netfilter(strict: Segment) -> None:
    """Its chains see bridged frames after the guards, and drop some of the hostile ones by themselves."""
    for family in ("iptables", "ip6tables", "arptables"):
        run(("sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}=0"), namespace=strict.host)
    strict.greet()
    passed = [one.name for one in ATTACKS if any(ports for _, ports in strict.send(one.frames(PARTIES)))]
    assert (passed, strict.where(ROUTER), strict.where(PARTIES.other.mac)) == ([], "up.0", "db.0")
    assert all(ports for one in LEGITIMATE for _, ports in strict.send(one.frames(PARTIES)))
    for family in ("iptables", "ip6tables", "arptables"):
        run(("sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}=1"), namespace=strict.host)


@pytest.mark.parametrize("extra", ["", "isolated: true", "limit: {broadcast: 100/s}"])
def test_the_verdicts_are_the_same_when_nft_has_listed_and_loaded_it(extra: str) -> None:
    """With what was counted, and what somebody claimed to be: a ruleset is saved while it works."""
    with segment() as one:
        wanted = one.guard(site("strict", extra))
        one.greet()
        for sample in ATTACKS:
            one.send(sample.frames(PARTIES))
        assert "counter packets" in one.reloaded(), "nothing of what was counted is listed"
        assert one.loaded() == wanted
        assert not [sample.name for sample in ATTACKS if any(ports for _, ports in one.send(sample.frames(PARTIES)))]


def test_without_a_guard_hostile_frames_reach_the_others() -> None:
    """So the matrix can fail: an ordinary bridge stops what its kernel keeps for itself, and hardly anything else."""
    with segment() as bare:
        arrived = [one.name for one in ATTACKS if any(ports for _, ports in bare.send(one.frames(PARTIES)))]
    assert len(ATTACKS) >= 63
    assert len(arrived) > len(ATTACKS) * 0.9


BOUND_TO_ADDRESSES = {"ip4", "ip6"}  # what a guard of the MAC alone cannot know


def test_a_guard_of_the_mac_stops_all_that_needs_no_address_to_be_known(bridge: Segment) -> None:
    bridge.guard(site("mac"))
    bridge.greet()
    passed = {
        one.name
        for one in ATTACKS
        if one.reason not in BOUND_TO_ADDRESSES and any(ports for _, ports in bridge.send(one.frames(PARTIES)))
    }
    assert passed == {
        "an ARP reply as the router",
        "an ARP request as the router",
        "ARP as the other guest",
        "a neighbour advertisement for the router",
        "the same without an option",
        "an answer to another's duplicate address detection (DAD)",
        "an ARP probe for another's address",
    }
    assert all(ports for one in LEGITIMATE for _, ports in bridge.send(one.frames(PARTIES)))
    assert bridge.where(ROUTER) == "up.0"
