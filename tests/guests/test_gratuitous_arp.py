"""A guest that moved and says nothing is found all the same: stale ways are forgotten, and the wire hears its MAC."""

from __future__ import annotations

import contextlib
import json
import os
import socket

import pytest

from bascule.guests.gratuitous_arp import announce, forget_elsewhere, reverse_arp
from bascule.model.values import IfName, Mac
from bascule.system.run import run
from tests.lab import Lab
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel
MAC, OTHER, TAP = Mac("52:54:00:00:00:07"), Mac("52:54:00:00:00:08"), IfName("vnet0")


def test_ways_are_forgotten_and_the_wire_is_told(lab: Lab) -> None:
    host = lab.host("eth0")
    lab.ip(host, "link add br0 type bridge")
    lab.tap(host, TAP)
    neighbour = lab.tap(host, "vnet1")
    for link in ("eth0", TAP, "vnet1"):
        lab.ip(host, f"link set {link} master br0 up")
    lab.ip(host, "link set br0 up")
    for words in (f"{MAC} dev eth0 master dynamic", f"{OTHER} dev eth0 master dynamic"):
        run(("bridge", "fdb", "add", *words.split()), namespace=host)

    forget_elsewhere(MAC, TAP, namespace=host)
    learned = json.loads(run(("bridge", "-j", "fdb", "show", "br", "br0"), namespace=host).stdout)
    assert [(x["mac"], x["ifname"]) for x in learned if x["mac"] in {MAC, OTHER}] == [(OTHER, "eth0")]

    with host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as ear:
        ear.bind(("eth0-wire", 0x0003))
        ear.settimeout(HUNG_S)
        announce(TAP, MAC, namespace=host)
        while (frame := ear.recv(2048)) != reverse_arp(MAC):
            assert frame  # IPv6 of the links themselves
    assert len(reverse_arp(MAC)) == 60
    heard = []
    os.set_blocking(neighbour, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(os.read(neighbour, 2048))
    assert reverse_arp(MAC) not in heard  # other guests are left in peace


def test_where_the_tap_is_not_here_nothing_is_done(lab: Lab) -> None:
    host = lab.host("eth0")
    before = lab.ip(host, "link show")
    announce(TAP, MAC, namespace=host)
    forget_elsewhere(MAC, TAP, namespace=host)
    assert lab.ip(host, "link show") == before
