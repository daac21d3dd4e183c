"""Names: a real dnsmasq answers, and what is no answer is none."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.frames.codecs.dns import A, addresses, question
from bascule.probe.names import look_up
from bascule.system.process.workers import Daemon
from tests.lab import Lab


@pytest.mark.kernel
def test_a_server_is_asked_for_both_families_and_for_what_it_does_not_know(lab: Lab, tmp_path: Path) -> None:
    room = lab.namespace("room")
    argv = ("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            "--listen-address=127.0.0.1", "--local=/lab/", "--host-record=g1.lab,192.168.122.5,fd00::5")  # fmt: skip
    server = ip_address("127.0.0.1")
    assert look_up(room, server, [("g1.lab", 4)], timeout_s=0.2) == {}  # nobody is there yet
    daemon = Daemon(argv, room, tmp_path / "log")
    try:
        assert daemon.wait_for("started, version")
        found = look_up(room, server, [("g1.lab", 4), ("g1.lab", 6), ("nobody.lab", 4)])
    finally:
        daemon.stop()
    assert found == {
        ("g1.lab", 4): (ip_address("192.168.122.5"),),
        ("g1.lab", 6): (ip_address("fd00::5"),),
        ("nobody.lab", 4): (),
    }


def test_an_answer_with_compressed_names_and_other_records() -> None:
    asked = question(b"ab", "a.lab", A)[12:]
    alias = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes((10, 0, 0, 1))
    reply = b"ab\x81\x80" + struct.pack("!HHHH", 1, 2, 0, 0) + asked + alias + record
    assert addresses(reply) == (ip_address("10.0.0.1"),)


@given(st.binary(max_size=80))
def test_rubbish_is_refused_and_ends(data: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError, struct.error):
        addresses(data)
