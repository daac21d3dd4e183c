"""D4: every address that is to be added is asked for on its wire first; whoever answers keeps it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from ipaddress import IPv4Address

import pytest

from bascule.frames.codecs import arp, ethernet
from bascule.model.values import Mac
from tests.lab import pings
from tests.real_hosts.field import MACS, ONE_NIC, Field

SITE = """\
site: one
networks:
  office: {subnet: [192.168.1.0/24, 'fd00::/64']}
hosts:
  kvm:
    nics: {eth0: {network: office%s}}
    bridges: {%s}
"""
PC = MACS["pc"]


def nic(*addresses: str) -> str:
    return SITE % (f", address: [192.168.1.10/24, {', '.join(repr(one) for one in addresses)}]", "")


CASES = {
    "IPv4 on the NIC": (nic("192.168.1.50/24"), "192.168.1.50 is to be added to eth0", "eth0"),
    "IPv6 on the NIC": (nic("fd00::50/64"), "fd00::50 is to be added to eth0", "eth0"),
    "on a bridge that is only to be made": (
        SITE % ("", "br0: {uplink: eth0, address: 192.168.1.50/24}"), "192.168.1.50 is to be added to br0", "eth0"),
    "a link-local one": (nic("fe80::50/64"), "fe80::50 is to be added to eth0", "eth0"),
    "one of several": (nic("192.168.1.77/24", "192.168.1.50/24"), "192.168.1.50 is to be added to eth0", "eth0"),
}  # fmt: skip


@pytest.fixture(scope="module")
def field(shared_host: Field) -> Field:
    for address in ("fd00::50/64", "fe80::50/64"):
        shared_host.ip(f"addr add {address} dev eth0 nodad", shared_host.pc)
    return shared_host


@pytest.mark.parametrize("what", CASES)
def test_an_answer_refuses(field: Field, what: str) -> None:
    text, words, link = CASES[what]
    done = field.bascule("apply", field.site(text), "--yes")
    assert done.returncode == 1
    assert f"error[ADDRESS-TAKEN]: {words}, but {PC} has it: it answered on {link}" in " ".join(done.stderr.split())
    assert "192.168.1.10/24" in field.ip("addr show eth0")
    assert "192.168.1.50" not in field.ip("addr")
    assert field.document("status")["status"] is None, "there is no checkpoint of it"


PLANNED = {  # what a plan, which sends nothing, leaves to apply
    "IPv4 and IPv6 on the NIC": (nic("192.168.1.77/24", "fd00::77/64"), [
        "eth0: not yet checked whether 192.168.1.77, fd00::77 are taken: apply asks on eth0 first"]),
    "on a bridge that is only to be made": (SITE % ("", "br0: {uplink: eth0, address: 192.168.1.77/24}"), [
        "br0: not yet checked whether 192.168.1.77 is taken: apply asks on eth0 first"]),
    "on a VLAN that is only to be made": (SITE.replace("{%s}", "{}\n    vlans: {%s}") % (
        "", "eth0.20: {link: eth0, id: 20, address: 10.20.0.5/24}"), [
        "eth0.20: not yet checked whether 10.20.0.5 is taken: eth0.20 has no carrier yet, so apply cannot ask either",
    ]),
    "what moves to its bridge": (ONE_NIC, []),
    "on a network of the host's own": (SITE.replace("{%s}", "{}\n    virtual_networks: {%s}") % (
        "", "lab: {mode: isolated, subnet: 10.7.0.0/24}"), []),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANNED)
def test_a_plan_says_who_was_not_asked_yet(field: Field, what: str) -> None:
    text, words = PLANNED[what]
    assert [line for line in field.plan(text).mind if "taken" in line] == words


def test_who_it_is_is_said(real_host: Field) -> None:
    """A guest of this very host has the address, behind a bridge that has heard it."""
    bridge = "br1: {uplink: eth1, address: %s}"
    path = real_host.site(SITE % ("}, eth1: {network: office", bridge % "192.168.1.11/24"))
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    guest = real_host.guest("somebody", "vnet3", "192.168.1.88/24", bridge="br1")
    assert pings(guest, "192.168.1.1")
    mac = guest_mac(real_host, guest)
    real_host.site(SITE % ("}, eth1: {network: office", bridge % "[192.168.1.11/24, 192.168.1.88/24]"))
    done = real_host.bascule("apply", path, "--yes")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"but {mac} has it: it answered on br1 (QEMU, br1 has heard it on vnet3)" in said


def guest_mac(field: Field, guest: object) -> str:
    return field.ip("-br link show eth0", guest).split()[2]  # type: ignore[arg-type]  # a namespace


def late(field: Field, delay_s: float, over: threading.Event, *, everybodys: bool = False) -> None:
    """The pc answers each question for its address so much later, or for everybody's; its kernel answers none."""
    with field.pc.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        sock.bind(("eth0", 0x0806))
    waiting: list[tuple[float, bytes]] = []
    own = IPv4Address("192.168.1.50")
    sock.settimeout(0.05)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            asked = arp.read(sock.recv(64)[14:])
            if asked and asked.operation == arp.REQUEST and (everybodys or asked.target == own):
                to = ethernet.mac_bytes(asked.sender_mac)
                mac, own_ip = ethernet.mac_bytes(Mac(PC)), asked.target
                frame = arp.build(arp.REPLY, mac, own_ip, asked.sender, target_mac=to, dst=to)
                waiting.append((time.monotonic() + delay_s, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            sock.send(waiting.pop(0)[1])
    sock.close()


def test_a_duplicate_that_answers_only_after_two_seconds(real_host: Field) -> None:
    real_host.ip("addr flush dev eth0", real_host.pc)
    over = threading.Event()
    answering = threading.Thread(target=late, args=(real_host, 2.0, over))
    answering.start()
    try:
        done = real_host.bascule("apply", real_host.site(nic("192.168.1.50/24")), "--yes")
    finally:
        over.set()
        answering.join()
    assert "error[ADDRESS-TAKEN]" in done.stderr
    assert PC in done.stderr


def test_whoever_answers_for_everybody_says_nothing_of_one(real_host: Field) -> None:
    """As a provider's router does, whose guests are kept apart: no address could ever be added there."""
    over = threading.Event()
    answering = threading.Thread(target=late, args=(real_host, 0.0, over), kwargs={"everybodys": True})
    answering.start()
    try:
        done = real_host.bascule("apply", real_host.site(nic("192.168.1.77/24")), "--yes", "--no-confirm")
    finally:
        over.set()
        answering.join()
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert f"whether 192.168.1.77 is taken: {PC} answers on eth0 for every address (proxy ARP)" in said


def test_an_address_that_the_file_gives_to_another_nic_moves_there(real_host: Field) -> None:
    """With the routes that need it: it is on one of them alone, and nobody is asked for it."""
    text = SITE % ("}, eth1: {network: office, address: 192.168.1.10/24", "")
    plan = real_host.plan(text)
    assert [(one.subject, one.action) for one in plan.changes] == [
        ("eth1", "address 192.168.1.10/24"),
        ("eth1", "route default via 192.168.1.1 dev eth1 (instead of via 192.168.1.1 dev eth0)"),
        ("eth0", "remove address 192.168.1.10/24"),
    ]
    assert "192.168.1.10/24 moves from eth0 to eth1" in plan.own_line
    assert real_host.bascule("apply", real_host.site(text), "--yes", "--no-confirm").returncode == 0
    assert real_host.plan(text).changes == ()
    assert pings(real_host.host, "192.168.1.1")


def test_a_duplicate_that_comes_to_life_after_two_seconds(real_host: Field) -> None:
    real_host.ip("link set eth0 down", real_host.pc)
    applying = real_host.start("apply", real_host.site(nic("192.168.1.50/24")), "--yes")
    time.sleep(2.0)
    real_host.ip("link set eth0 up", real_host.pc)
    said, _ = applying.communicate()
    assert "error[ADDRESS-TAKEN]" in said


def test_what_moves_is_not_new_and_takes_no_time(real_host: Field) -> None:
    """And nobody is asked: whoever answers for the host's own address elsewhere is another matter."""
    done = real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert "is taken" not in done.stderr


def test_a_wire_that_is_not_there_yet_is_told(real_host: Field) -> None:
    path = real_host.site(SITE % ("}, eth1: {network: office, address: 192.168.1.77/24", ""))
    real_host.ip("link set eth1 down")
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0
    assert "warning: could not check whether 192.168.1.77 is taken: eth1 has no carrier yet" in done.stderr
