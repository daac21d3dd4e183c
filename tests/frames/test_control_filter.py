"""The kernel filter against every sample, first in an interpreter of classic BPF, then in the kernel."""

from __future__ import annotations

import os
import random
import socket

import pytest

from bascule.frames.bpf import OUTGOING
from bascule.frames.control_filter import control_filter
from bascule.system.net.packet import Listener
from tests.backlog import drained
from tests.frames.machine import run
from tests.lab import Lab
from tests.survey import fuzz
from tests.survey.frames import HOST, IP, UDP, Dot1Q, Ether, IPv6, arp, pvst
from tests.survey.samples import SAMPLES, Sample

PROGRAM = control_filter()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.decoder} {sample.title}".strip())
def test_every_control_frame_passes(sample: Sample) -> None:
    outer = len(sample.tags) == 2  # the kernel takes the first tag off
    frame = sample.frame[:12] + sample.frame[16:] if outer else sample.frame
    assert run(PROGRAM, frame)
    assert run(PROGRAM, frame[:12] + b"\x81\x00\x00\x1e" + frame[12:]) or len(sample.tags) == 2
    assert not run(PROGRAM, frame, OUTGOING)


DATA = {
    "TCP": bytes(Ether() / IP(proto=6) / bytes(20)),
    "UDP": bytes(Ether() / IP() / UDP(sport=5000, dport=6000) / b"data"),
    "tagged UDP": bytes(Ether() / Dot1Q(vlan=30) / IP() / UDP(sport=5000, dport=6000)),
    "IPv6 TCP": bytes(Ether() / IPv6(nh=6) / bytes(20)),
    "IPv6 UDP": bytes(Ether() / IPv6() / UDP(sport=5000, dport=6000)),
    "ping": bytes(Ether() / IP(proto=1) / b"\x08\0\0\0\0\0\0\0"),
    "IPv6 ping": bytes(Ether() / IPv6(nh=58) / b"\x80\0\0\0\0\0\0\0"),
    "a later fragment to a well-known port": bytes(Ether() / IP(frag=185, proto=17) / b"\0\x43\0\x44"),
    "IP options before data": bytes(Ether() / IP(options=[]) / UDP(sport=1, dport=2)),
    "pause": bytes.fromhex("0180c2000001") + bytes(6) + b"\x88\x08\0\1" + bytes(42),
    "PPPoE": bytes(Ether(type=0x8864)) + bytes(40),
}


@pytest.mark.parametrize("name", DATA)
def test_no_data_frame_passes(name: str) -> None:
    assert not run(PROGRAM, DATA[name])


def test_the_filter_and_the_decoders_agree_on_damaged_frames() -> None:
    from bascule.frames.decoders import dissect

    chance = random.Random(1)
    for _ in range(3000):
        sound = chance.choice(SAMPLES).frame
        frame = sound[:12] + fuzz.damaged(sound[12:], chance)  # the filter finds some protocols by their group address
        seen = dissect(frame)
        if seen.decoder and seen.findings and len(seen.tags) < 3 and frame[12:14] != b"\x91\x00":
            assert run(PROGRAM, frame), frame.hex()


def test_data_takes_few_steps() -> None:
    assert len(PROGRAM) < 400


def heard(lab: Lab, *frames: bytes) -> list[tuple[bytes, int | None]]:
    """What comes out of a real listener when these frames come in on its link."""
    one, two = lab.namespace("one"), lab.namespace("two")
    lab.ip(one, f"link add eth0 type veth peer name wire netns /proc/{os.getpid()}/fd/{two.fd}")
    for space, link in ((one, "eth0"), (two, "wire")):
        lab.ip(space, f"link set {link} addrgenmode none")
        lab.ip(space, f"link set {link} up")
    with one.entered():
        listener = Listener("eth0", PROGRAM)
        own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        own.bind(("eth0", 0))
    with two.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        wire.bind(("wire", 0))
    with own, wire:
        own.send(arp("10.9.9.9", "10.9.9.8"))  # what the host itself says is never heard
        for frame in frames:
            wire.send(frame)
        drained()
        found = list(listener.frames())
        assert listener.drops() == 0
        listener.close()
    return found


@pytest.mark.kernel
def test_the_kernel_filters_the_same_and_gives_the_tag_back(lab: Lab) -> None:
    plain, tagged, double = (arp("10.0.0.1", "10.0.0.2", tags=tags) for tags in ((), (30,), (100, 30)))
    tree = pvst(40, tags=(40,))
    found = heard(lab, *DATA.values(), plain, tagged, double, tree)
    assert [(tci & 0xFFF if tci is not None else None) for _, tci in found] == [None, 30, 100, 40]
    assert found[0][0][:42] == plain[:42]
    assert found[1][0][12:14] == b"\x08\x06", "the kernel took the tag off the frame"
    assert found[2][0][12:14] == b"\x81\x00", "the inner tag stays"
    assert HOST.encode() is not None
