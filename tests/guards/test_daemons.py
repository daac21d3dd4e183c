"""Daemons that nobody here wrote, forging or not, behind guards: what the file lets them do works, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.model.ruleset.text import replacing_text
from bascule.observe.guards import stopped_frames
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.guards.segment import PARTIES, site
from tests.lab import Lab, open_lab
from tests.patience import HUNG_S, patient, wait_until

pytestmark = pytest.mark.kernel
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
VIP, PREFIX = "10.0.0.100", "2001:db8:7:"
ADVERT_S, BACKUP_PRIORITY = 0.3, 100
# what a backup waits for after the last advertisement of another (RFC 9568, 6.1)
MASTER_DOWN_S = 3 * ADVERT_S + (256 - BACKUP_PRIORITY) * ADVERT_S / 256
FAILOVER_S = 3.0
KEEPALIVED = """
vrrp_instance shared {{
  version 3
  state BACKUP
  interface eth0
  virtual_router_id 7
  priority {priority}
  advert_int {interval}
  garp_master_delay 0
  virtual_ipaddress {{
    {vip}/24
  }}
}}
"""


class Wire(Struct):
    """web and db are guests of a guarded bridge; the router is on the wire."""

    lab: Lab
    host: Namespace
    ends: dict[str, Namespace]

    def guard(self, web: str = "", db: str = "") -> None:
        """Load the guards of a site with these keys of both."""
        some = site("strict", web, db)
        table = guard_table(guarded_ports(some, some.hosts["h"]), "bascule:lodge")
        assert table is not None
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=self.host)

    def reaches(self, who: str, address: str) -> bool:
        """By one ping."""
        return run(("ping", "-c1", "-W1", "-n", address), namespace=self.ends[who], check=False).status == 0

    def stopped(self, port: str, reason: str) -> bool:
        """Whether a guard has counted it."""
        return any((one.port, one.reason) == (port, reason) for one in stopped_frames(self.host))

    @contextlib.contextmanager
    def running(self, who: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon in a guest; it is killed afterwards."""
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not installed")
        with self.ends[who].entered():
            one = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        try:
            yield one
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with open_lab() as lab:
        host = lab.namespace("host")
        lab.ip(host, "link add br0 type bridge forward_delay 0 mcast_snooping 0 no_linklocal_learn 1")
        lab.ip(host, "link set br0 up addrgenmode none")
        ends = {}
        for name, port, party in (
            ("web", "web.0", PARTIES.me), ("db", "db.0", PARTIES.other), ("router", "up.0", PARTIES.router)
        ):  # fmt: skip
            ends[name] = end = lab.namespace(name)
            fd = f"/proc/{os.getpid()}/fd/{end.fd}"
            lab.ip(host, f"link add {port} type veth peer name eth0 netns {fd}")
            lab.ip(end, f"link set eth0 address {party.mac} up")
            lab.ip(end, f"addr add {party.ip4}/24 dev eth0")
            lab.ip(end, f"addr add {party.ip6}/64 dev eth0 nodad")
            lab.ip(host, f"link set {port} addrgenmode none master br0 up")
        yield Wire(lab, host, ends)


def within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + patient(seconds)
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


class GroupFrames:
    """What web says of the shared address, with the kernel's time of each frame, as it passes somewhere."""

    def __init__(self, where: Namespace) -> None:
        with where.entered():
            self.ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(0x0003))
        self.ear.bind(("eth0", 0x0003))
        self.ear.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.times: dict[bytes, list[float]] = {}

    def hear(self) -> dict[bytes, list[float]]:
        """The times of each such frame so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, extra, _, _ = self.ear.recvmsg(2048, 128)
                if frame[6:12] == PARTIES.me.raw and _speaks_of_the_group(frame):
                    seconds, nanoseconds = struct.unpack("qq", extra[0][2][:16])
                    self.times.setdefault(frame.rstrip(b"\0"), []).append(seconds + nanoseconds / 1e9)
        return self.times


def _speaks_of_the_group(frame: bytes) -> bool:
    """An advertisement of VRRP, or a claim of the shared address by ARP."""
    shared = IPv4Address(VIP).packed
    return (frame[12:14], frame[23]) == (b"\x08\0", 112) or (frame[12:14], frame[28:32]) == (b"\x08\x06", shared)


def is_quiet(*ears: GroupFrames) -> bool:
    """Whether web says nothing for a second: it speaks up where the other was too slow, and gives way again."""
    for ear in ears:
        ear.hear()
        ear.times.clear()
    time.sleep(1)
    said = [ear.hear() for ear in ears]
    return not any(said)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
def test_keepalived_fails_over_where_the_file_declares_the_group(wire: Wire, tmp_path: Path, *, declared: bool) -> None:
    """An undeclared guest never gets the address, though the other is gone and it believes to have it.

    A declared one has it within three seconds: what VRRP itself waits, and what a guard adds to it. The second is
    measured, from where each frame leaves the guest to where it comes out, for the first depends on the machine.
    """
    also = f"also: {{vrrp: 7, address: {VIP}}}"
    wire.guard(also if declared else "", also)
    configs = {}
    for name, priority in (("web", BACKUP_PRIORITY), ("db", 150)):
        configs[name] = tmp_path / f"{name}.conf"
        configs[name].write_text(KEEPALIVED.format(priority=priority, vip=VIP, interval=ADVERT_S))

    def words(name: str) -> tuple[str, ...]:
        own = tmp_path / name
        own.mkdir()
        return ("keepalived", "-n", "-f", str(configs[name]), "-p", str(own / "a"), "-r", str(own / "b"),
                "-c", str(own / "c"))  # fmt: skip

    with wire.running("db", *words("db")) as active:
        assert within(15, lambda: wire.reaches("router", VIP))
        left, came = GroupFrames(wire.ends["web"]), GroupFrames(wire.ends["router"])
        with wire.running("web", *words("web")), left.ear, came.ear:
            wait_until(lambda: is_quiet(left, came), 15, "web to be silent while the other is there")
            os.killpg(active.pid, signal.SIGKILL)
            wire.lab.ip(wire.ends["db"], f"addr del {VIP}/24 dev eth0")
            assert within(15, lambda: {frame[12:14] for frame in left.hear()} == {b"\x08\0", b"\x08\x06"})
            said = {frame: times[0] for frame, times in left.hear().items()}
            if declared:
                assert within(15, lambda: came.hear().keys() >= said.keys())
                added = max(came.times[frame][0] - seconds for frame, seconds in said.items())
                assert MASTER_DOWN_S + added <= FAILOVER_S
                assert within(15, lambda: wire.reaches("router", VIP))
                assert not wire.stopped("web.0", "vrrp") and not wire.stopped("web.0", "arp")
            else:
                run(("ip", "neigh", "flush", "dev", "eth0"), namespace=wire.ends["router"])
                assert not wire.reaches("router", VIP)
                assert not came.hear()
    run(("ip", "addr", "flush", "to", f"{VIP}/32"), namespace=wire.ends["web"], check=False)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
def test_radvd_is_heard_where_the_file_says_router(wire: Wire, tmp_path: Path, *, declared: bool) -> None:
    wire.guard("may: router" if declared else "")
    config = tmp_path / "radvd.conf"
    config.write_text(
        "interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8:7::/64 {}; };"
    )
    victim = wire.ends["db"]

    def heard() -> bool:
        return PREFIX in run(("ip", "-6", "addr"), namespace=victim).stdout

    run(("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"), namespace=wire.ends["web"])
    with wire.running("web", "radvd", "-n", "-C", str(config), "-p", str(tmp_path / "pid"), "-m", "stderr"):
        assert within(6, lambda: heard() or wire.stopped("web.0", "router"))
        found = heard()
    run(("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"), namespace=wire.ends["web"])
    run(("ip", "-6", "addr", "flush", "to", "2001:db8:7::/64"), namespace=victim)
    run(("ip", "-6", "route", "flush", "proto", "ra"), namespace=victim, check=False)
    assert found is declared


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
def test_dnsmasq_gives_leases_where_the_file_says_dhcp_server(wire: Wire, tmp_path: Path, *, declared: bool) -> None:
    wire.guard("may: dhcp-server" if declared else "")
    script = tmp_path / "offer"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && echo "lease $ip"\nexit 0\n')
    script.chmod(0o755)
    if shutil.which("udhcpc") is None:
        pytest.skip("udhcpc is not installed")
    dnsmasq = ("dnsmasq", "-k", "-p0", "-i", "eth0", "-F", "10.0.0.200,10.0.0.210", "-C", "/dev/null",
               "-l", str(tmp_path / "leases"), "-x", str(tmp_path / "pid"), "--dhcp-authoritative",
               "--no-ping")  # fmt: skip
    run(("ethtool", "-K", "eth0", "tx", "off"), namespace=wire.ends["web"])  # a raw socket wants whole checksums
    with wire.running("web", *dnsmasq):
        tries = str(int(HUNG_S)) if declared else "3"
        asking = ("udhcpc", "-f", "-n", "-q", "-t", tries, "-T", "1", "-i", "eth0", "-s", str(script))
        answer = run(asking, namespace=wire.ends["db"], check=False).stdout
    assert ("lease 10.0.0.2" in answer) is declared


def test_legitimate_tools_work_behind_a_guard_and_forging_options_do_not(wire: Wire) -> None:
    wire.guard()
    if shutil.which("arp-scan") is None:
        pytest.skip("arp-scan is not installed")

    def scan(*options: str, tries: int = 1) -> str:
        words = ("arp-scan", "-I", "eth0", "-r", str(tries), "-t", "300", *options, "10.0.0.1", "10.0.0.11")
        return run(words, namespace=wire.ends["web"], check=False).stdout

    assert "2 responded" in scan(tries=50)
    for lie in (("--arpspa=10.0.0.1",), ("--arpsha=02:00:00:00:00:77",), ("--srcaddr=02:00:00:00:00:77",),
                ("--vlan=0",), ("--llc",)):  # fmt: skip
        assert "0 responded" in scan(*lie), lie


def test_avahi_answers_its_neighbours(wire: Wire, tmp_path: Path) -> None:
    wire.guard()
    config = tmp_path / "avahi.conf"
    config.write_text("[server]\nhost-name=guest-of-a-guard\nenable-dbus=no\nallow-interfaces=eth0\n")
    question = bytes(4) + b"\0\1" + bytes(6) + b"\x10guest-of-a-guard\5local\0\0\1\0\1"
    with wire.running("web", "avahi-daemon", "-f", str(config), "--no-drop-root", "--no-chroot", "--no-rlimits"):
        with wire.ends["db"].entered():
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with ear:
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, PARTIES.other.ip4.packed)
            ear.settimeout(0.3)

            def answered() -> bool:
                ear.sendto(question, ("224.0.0.251", 5353))
                with contextlib.suppress(TimeoutError):
                    return PARTIES.me.ip4.packed in ear.recv(2048)
                return False

            assert within(6, answered)
