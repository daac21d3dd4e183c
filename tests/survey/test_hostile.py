from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.cli.show.survey import show_survey, survey_as_json
from bascule.frames.decoder import Decoder
from bascule.frames.decoders import BY_KEY, DECODERS, dissect
from bascule.frames.envelope import Packet
from bascule.frames.pcap import Capture, NotACapture
from bascule.survey.evidence import FACT_LIMIT, Collector
from bascule.survey.verdicts import judge
from tests.survey import fuzz, mutations
from tests.survey.frames import arp
from tests.survey.hearing import site
from tests.survey.samples import SAMPLES
from tests.work import assert_linear


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_skipped_or_nothing(data: bytes) -> None:
    dissect(data)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_body_of_noise_never_raises(decoder: Decoder, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(decoder.keys))
    noise = data.draw(st.binary(max_size=200))
    if key[0] == "icmp6":
        noise = bytes([key[1]]) + noise.ljust(3, b"\0")
    seen = dissect(fuzz.frame_of(Packet(key, b"", "", (), noise)))
    assert seen.decoder == decoder.name
    assert not (seen.skip and seen.findings)


def test_damaged_frames_never_raise_or_hang() -> None:
    read = fuzz.run(400, seed=6)
    assert all(read.values()), "some decoder refuses everything: the damage hides what it shall find"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_was_heard_can_be_judged_and_shown(seed: int) -> None:
    chance = random.Random(seed)
    ears = {}
    for nic in ("eth0", "eth1"):
        collector = Collector(nic)
        for _ in range(30):
            collector.add(fuzz.damaged(chance.choice(SAMPLES).frame, chance), chance.choice(((), (), (30,), (40,))))
        ears[nic] = collector.finish(seconds=1)
    survey = judge(ears)
    assert show_survey(survey, columns=80, host="h").replace("\n", "").isprintable()
    survey_as_json(survey, host="h")


@pytest.mark.parametrize("first", [0, 1000])
def test_a_mutated_capture_is_judged_and_its_draft_passes_the_check(first: int) -> None:
    for seed in range(first, first + 60):
        mutations.see(seed)


def test_a_flood_of_made_up_addresses_is_bounded() -> None:
    collector = Collector("eth0")
    frame = bytearray(arp("10.0.0.1", "10.0.0.2"))
    for number in range(FACT_LIMIT + 5000):
        frame[28:32] = (0x0A000000 + number).to_bytes(4, "big")
        collector.add(bytes(frame))
    heard = collector.finish()
    assert sum(len(facts) for facts in heard.facts.values()) == FACT_LIMIT
    assert "were not used" in heard.notes[0]


def flood(size: int) -> Iterator[bytes]:
    chance, frame = random.Random(3), bytearray(arp("10.0.0.1", "10.0.0.2"))
    for _ in range(size):
        frame[28:32], frame[38:42] = chance.randbytes(4), chance.randbytes(4)
        yield bytes(frame)


def every_vlan(size: int) -> Iterator[bytes]:
    return (arp(f"10.{vid >> 8}.{vid & 255}.1", "10.0.0.1", tags=(vid,)) for vid in range(1, size))


@pytest.mark.parametrize(("frames", "size"), [(flood, 800), (every_vlan, 200)])
def test_a_flood_is_judged_in_linear_time(frames: Callable[[int], Iterator[bytes]], size: int) -> None:
    """Whatever is compared with everything is a hang that a stranger can order."""

    def task(number: int) -> Callable[[], object]:
        ears = {}
        for nic in ("eth2", "eth3"):
            collector = Collector(nic)
            for frame in frames(number):
                collector.add(frame)
            ears[nic] = collector.finish(seconds=30)
        return lambda: (survey_as_json(judge(ears), host="h"), judge(ears, *site()))

    assert_linear(task, size)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\xa1\xb2\x3c\x4d"]))
def test_a_damaged_capture_ends_with_words(data: bytes, magic: bytes) -> None:
    capture = Capture(magic + data)
    try:
        for _ in capture.frames():
            pass
    except NotACapture as wrong:
        assert str(wrong)


def test_the_registry_is_whole() -> None:
    assert BY_KEY
