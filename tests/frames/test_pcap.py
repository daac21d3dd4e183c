"""Capture files of every form, written here from the formats' descriptions, and by tcpdump where it is installed."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.frames.pcap import Capture, NotACapture, Record
from tests import prefork
from tests.lab import Lab
from tests.survey.frames import arp, dhcp_offer, lldp
from tests.survey.hearing import many

FRAMES = (arp("192.168.1.50", "192.168.1.1"), lldp(), dhcp_offer())
SECOND = 1_700_000_000


def pcap(order: str = "<", *, nano: bool = False, link: int = 1, frames: tuple[bytes, ...] = FRAMES) -> bytes:
    data = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for number, frame in enumerate(frames):
        data += struct.pack(order + "IIII", SECOND + number, 7, len(frame), len(frame)) + frame
    return data


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def pcapng(order: str = "<", *, nano: bool = False, link: int = 1) -> bytes:
    power, ticks = (b"\x09", 10**9) if nano else (b"\x06", 10**6)
    data = section(order)
    data += block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option(order, 9, power) + option(order, 0, b""))
    for number, frame in enumerate(FRAMES):
        stamp = (SECOND + number) * ticks + 7
        head = struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
        data += block(order, 6, head + frame)
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("form", [pcap, pcapng])
def test_all_forms_give_the_same_frames(form, order: str, nano: bool) -> None:  # type: ignore[no-untyped-def]
    fraction = 7 if nano else 7000
    expected = [Record(frame, (SECOND + number) * 10**9 + fraction) for number, frame in enumerate(FRAMES)]
    assert list(Capture(form(order, nano=nano)).frames()) == expected


def test_sections_of_both_byte_orders_in_one_file() -> None:
    assert len(list(Capture(pcapng("<") + pcapng(">")).frames())) == 6


def test_simple_and_old_packet_blocks() -> None:
    frame = FRAMES[0]
    data = section("<") + block("<", 1, struct.pack("<HHI", 1, 0, 0))
    data += block("<", 3, struct.pack("<I", len(frame)) + frame)
    data += block("<", 2, struct.pack("<HHIIII", 0, 0, 0, 5, len(frame), len(frame)) + frame)
    assert [record.data for record in Capture(data).frames()] == [frame, frame]


def test_what_the_host_sent_itself_is_left_out() -> None:
    frame = FRAMES[0]
    head = struct.pack("<IIIII", 0, 0, 5, len(frame), len(frame))
    padded = frame + bytes(-len(frame) % 4)
    data = section("<") + block("<", 1, struct.pack("<HHI", 1, 0, 0))
    for direction in (1, 2):
        data += block("<", 6, head + padded + option("<", 2, struct.pack("<I", direction)) + option("<", 0, b""))
    assert len(list(Capture(data).frames())) == 1


@pytest.mark.parametrize("data", [pcap(), pcapng()])
def test_a_file_that_is_cut_short_gives_what_it_has(data: bytes) -> None:
    capture = Capture(data[:-20])
    assert len(list(capture.frames())) == 2
    assert "cut short" in capture.notes[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (gzip.compress(pcap()), "compressed"),
        (b"hello world, this is text", "neither pcap nor pcapng"),
        (pcap(link=127), "link type is 127"),
        (pcapng(link=127), "link type is 127"),
        (pcap()[:10], "ends inside its header"),
    ],
)
def test_what_is_no_capture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(NotACapture, match=words):
        list(Capture(data).frames())


def bascule(*words: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words)


def test_captures_are_judged_by_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap())
    (tmp_path / "b.pcapng").write_bytes(pcapng(">", nano=True))
    done = bascule("survey", "--json", "--pcap", f"eth4={tmp_path}/a.pcap", "--pcap", f"eth5={tmp_path}/b.pcapng")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "bascule/survey/1"
    assert document["nics"]["eth4"]["switch"]["port"] == "Gi0/5"
    assert document["nics"]["eth4"]["native_vlan"] == 30
    assert document["wires"][0]["nics"] == ["eth4", "eth5"]
    assert "192.168.1.0/24" in document["draft"]


def test_what_the_host_said_itself_in_a_capture_proves_no_network(tmp_path: Path) -> None:
    """A pcap does not say which way a frame went; the host's addresses stand in the file."""
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: s\nnetworks: {lan: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}}\nhosts: {h: {nics: {eth4: "
        "{network: lan, address: [192.168.1.10/24, 192.168.1.11/24, 192.168.1.12/24]}}}}\n"
    )
    for name, first, network in (("own", 10, None), ("others", 50, "lan")):
        frames = tuple(many("192.168.1", 3, "192.168.1.1", first=first))
        (tmp_path / name).write_bytes(pcap(frames=frames))
        done = bascule("survey", "--json", "--site", str(site), "--pcap", f"eth4={tmp_path / name}")
        assert json.loads(done.stdout)["nics"]["eth4"]["network"] == network


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--pcap", "eth4"), 64, "NIC=FILE"),
        (("--pcap", "eth4=/no-such-folder"), 64, "does not exist"),
        (("--pcap", "eth4=/dev/zero"), 64, "is a device, not a file"),  # it would be read into memory, without end
        (("--pcap", "eth4=/etc/passwd"), 64, "neither pcap nor pcapng"),
        (("--pcap", "eth4=/etc/passwd", "--active"), 64, "--active"),
        (("eth5", "--pcap", "eth4=/etc/passwd"), 64, "no capture of eth5"),
        (("--host", "x"), 64, "--site"),
        (("--seconds", "0"), 64, "seconds"),
    ],
)
def test_the_wrong_thing_typed_is_answered_in_words(
    words: tuple[str, ...],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bascule.cli import main

    monkeypatch.setattr(sys, "argv", ["bascule", "survey", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == status
    assert message in capsys.readouterr().err


def test_a_link_that_is_not_there_is_answered_in_words(lab: Lab) -> None:
    """In a namespace, where nobody else's switch is asked."""
    done = lab.bascule(lab.namespace("host"), "survey", "no-such-nic")
    assert done.returncode == 64
    assert "no link 'no-such-nic'" in done.stderr


def named(order: str, name: str, link: int = 1) -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option(order, 2, name.encode()))


def enhanced(order: str, number: int, frame: bytes, *, original: int | None = None) -> bytes:
    head = struct.pack(order + "IIIII", number, 0, 1000, len(frame), original or len(frame))
    return block(order, 6, head + frame.ljust((len(frame) + 3) // 4 * 4, b"\0"))


@pytest.mark.parametrize("order", ["<", ">"])
def test_of_several_interfaces_that_of_the_nic_is_read(order: str) -> None:
    one, two = (arp(f"10.0.0.{n}", "10.0.0.9") for n in (1, 2))
    data = section(order) + named(order, "eth3") + named(order, "eth4") + enhanced(order, 0, one)
    data += enhanced(order, 1, two)
    capture = Capture(data, "eth4")
    assert [record.data for record in capture.frames()] == [two]
    assert capture.notes == ["1 frames of the interface eth3 were left out"]
    with pytest.raises(NotACapture, match=r"several interfaces \(eth3, eth4\), and none of them is eth5"):
        list(Capture(data, "eth5").frames())
    alone = section(order) + named(order, "ens3") + enhanced(order, 0, one)
    assert [record.data for record in Capture(alone, "eth4").frames()] == [one]


def test_frames_that_are_cut_are_told() -> None:
    frame = lldp()[:96]
    old = pcap(frames=())[:24] + struct.pack("<IIII", 1, 0, 96, 400) + frame
    new = section("<") + named("<", "eth4") + enhanced("<", 0, frame, original=400)
    for data in (old, new):
        capture = Capture(data, "eth4")
        assert [record.data for record in capture.frames()] == [frame]
        assert capture.notes == ["1 frames are cut at 96 bytes: capture with tcpdump -s 0"]


def test_linux_cooked_captures_are_read_with_a_warning() -> None:
    frame = arp("10.0.0.1", "10.0.0.9")
    cooked = struct.pack("!HHH", 1, 1, 6) + frame[6:12] + b"\0\0" + frame[12:]
    cooked2 = frame[12:14] + struct.pack("!HIHBB", 0, 3, 1, 1, 6) + frame[6:12] + b"\0\0" + frame[14:]
    sent = struct.pack("!HHH", 4, 1, 6) + cooked[6:]
    for link, records in ((113, (cooked, sent)), (276, (cooked2,))):
        capture = Capture(pcap(link=link, frames=records))
        assert [record.data for record in capture.frames()] == [frame]
        assert "taken on 'any'" in capture.notes[0]
    within = section("<") + named("<", "any", 113) + enhanced("<", 0, cooked)
    assert [record.data for record in Capture(within, "eth4").frames()] == [frame]
    other = cooked2[:4] + struct.pack("!I", 4) + cooked2[8:]
    with pytest.raises(NotACapture, match="several links"):
        list(Capture(pcap(link=276, frames=(cooked2, other))).frames())
