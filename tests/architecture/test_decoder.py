"""A decoder is one file and one entry: the dissector and the kernel filter find it by what it says of itself."""

from __future__ import annotations

import pytest

from bascule.frames.codecs import ethernet
from bascule.frames.control_filter import control_filter
from bascule.frames.decoder import Decoder, Packet
from bascule.frames.decoders import DECODERS, by_key, dissect
from bascule.frames.findings import Findings, Remark
from bascule.frames.reference import as_markdown
from tests.frames.machine import run

GROUP = "01:00:5e:90:00:01"


def decode(packet: Packet) -> Findings:
    return (Remark("dummy", packet.body.rstrip(b"\0").decode()),)


DUMMY = Decoder(
    name="dummy",
    title="Dummy",
    keys=(("ether", 0x9ABC), ("snap", 0x0080C21234)),
    where="EtherType 0x9abc",
    proves="nothing",
    weight="none",
    source="nowhere",
    groups=(GROUP,),
    decode=decode,
)
SOURCE = bytes(5) + b"\x01"
FRAMES = {
    "EtherType": ethernet.frame(ethernet.BROADCAST, SOURCE, 0x9ABC, b"hello"),
    "tagged": ethernet.frame(ethernet.BROADCAST, SOURCE, 0x9ABC, b"hello", tags=(30,)),
    "SNAP": ethernet.frame(
        ethernet.mac_bytes(GROUP), SOURCE, 8 + 5, b"\xaa\xaa\x03" + bytes.fromhex("0080c21234") + b"hello"
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_one_entry_makes_a_decoder(name: str) -> None:
    frame, entries = FRAMES[name], (*DECODERS, DUMMY)
    seen = dissect(frame, decoders=by_key(entries))
    assert (seen.decoder, seen.findings) == ("dummy", (Remark("dummy", "hello"),))
    assert run(control_filter(entries), frame)
    assert not dissect(frame).decoder
    assert not run(control_filter(), frame)


def test_it_stands_in_the_reference() -> None:
    assert "| Dummy | EtherType 0x9abc |" in as_markdown((*DECODERS, DUMMY))
