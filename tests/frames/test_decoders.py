from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bascule.frames.decoders import BY_KEY, DECODERS, dissect
from tests.survey.frames import arp, pvst
from tests.survey.samples import SAMPLES, Sample

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.decoder} {sample.title}".strip())
def test_decoder_says_what_the_oracle_put_in(sample: Sample) -> None:
    seen = dissect(sample.frame)
    assert (seen.decoder, seen.skip) == (sample.decoder, "")
    assert seen.findings == sample.says
    assert seen.tags == sample.tags


def test_every_decoder_has_a_sample() -> None:
    assert {decoder.name for decoder in DECODERS} == {sample.decoder for sample in SAMPLES}


def test_no_two_decoders_want_the_same_frames() -> None:
    assert len(BY_KEY) == sum(len(decoder.keys) for decoder in DECODERS)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.decoder} {sample.title}".strip())
def test_every_cut_of_a_frame_is_a_named_skip_or_says_less(sample: Sample) -> None:
    for end in range(len(sample.frame)):
        seen = dissect(sample.frame[:end])
        if seen.skip:
            assert seen.skip[0] != " "
            assert not seen.findings


def test_a_tag_that_the_kernel_took_off_counts_like_one_in_the_frame() -> None:
    assert dissect(arp("10.0.0.1", "10.0.0.2"), (30,)) == dissect(arp("10.0.0.1", "10.0.0.2", tags=(30,)))


def test_a_priority_tag_is_no_vlan() -> None:
    assert dissect(arp("10.0.0.1", "10.0.0.2", tags=(0,))).tags == ()


def test_pvst_with_a_byte_of_padding_before_its_vlan() -> None:
    frame = pvst(30)
    padded = frame[:-6] + b"\0" + frame[-6:]
    assert dissect(padded[:12] + (len(padded) - 14).to_bytes(2, "big") + padded[14:]).findings[0].vlan == 30  # type: ignore[union-attr]


def test_a_strangers_text_cannot_reach_the_terminal() -> None:
    from tests.survey.frames import lldp

    (said,) = dissect(lldp(name="sw\x1b[2J1")).findings
    assert said.name == "sw?[2J1"  # type: ignore[union-attr]


def test_data_frames_are_nothing() -> None:
    from tests.survey.frames import IP, UDP, Ether

    assert dissect(bytes(Ether() / IP() / UDP(sport=5000, dport=6000) / b"data")).decoder == ""


def test_the_reference_is_the_code() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "bascule.frames.reference"), capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/reference/decoders.md").read_text() == done.stdout, (
        "run: python -m bascule.frames.reference > docs/reference/decoders.md"
    )
