"""Programs of XDP on links of the lab: each does one thing with whatever comes in (bpf(2))."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct

import pytest

from bascule.system.net.netns import Namespace

NUMBERS = {"x86_64": 321, "aarch64": 280}  # of bpf(2)
DROP, PASS = 1, 2  # linux/bpf.h, xdp_action


def attach(where: Namespace, link: str, name: str, action: int, request: pytest.FixtureRequest) -> None:
    """Put a program on a link until the test ends; skips where this kernel takes none."""
    if platform.machine() not in NUMBERS:
        pytest.skip("the number of bpf(2) is not known here")
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, action, 0x95, 0, 0, 0))  # r0 = …; exit
    gpl = ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(gpl)
    program = struct.pack("=IIQQIIQII16s", 6, 2, *places, 0, 0, 0, 0, 0, name.encode())
    if (loaded := _bpf(5, program)) < 0:
        pytest.skip("this kernel loads no XDP program")
    request.addfinalizer(lambda: os.close(loaded))
    with where.entered():
        attached = _bpf(28, struct.pack("=IIII", loaded, socket.if_nametoindex(link), 37, 2))  # BPF_XDP, in software
    if attached < 0:
        pytest.skip("this kernel attaches no XDP program")
    request.addfinalizer(lambda: os.close(attached))


def _bpf(command: int, attributes: bytes) -> int:
    """What the number means is the command's."""
    words = attributes.ljust(128, b"\0"), 128
    done: int = ctypes.CDLL(None).syscall(NUMBERS[platform.machine()], command, *words)
    return done
