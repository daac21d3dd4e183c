"""A guest that was off when its switch got its guards: behind them from its first frame on, or without any frame."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bascule.frames.guarding import build as b
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.twin.switches import start
from tests.guards.segment import PARTIES, site_text
from tests.lab import open_lab
from tests.ovs.stage import require
from tests.patience import HUNG_S, patient

pytestmark = pytest.mark.kernel
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000


def tap(host: Namespace, name: str) -> int:
    """A guest starts: its tap is there until this is closed."""
    with host.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    run(("ip", "link", "set", name, "up"), namespace=host)
    os.set_blocking(fd, False)
    return fd


def arp(spa: IPv4Address, mark: int) -> bytes:
    """An ARP request of the guest's own MAC for an address that tells it from others."""
    me = PARTIES.me
    return b.arp(me.raw, 1, me.raw, spa, PARTIES.other.ip4 + mark)


def heard(fd: int, frame: bytes, *, within_s: float) -> bool:
    """Whether a tap gets a frame before the time is over."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if os.read(fd, 2048)[: len(frame)] == frame:
                return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def test_a_guest_that_starts_later_is_behind_its_guard_or_has_no_frames(tmp_path: Path) -> None:
    """It comes as a port by a number that no rule knows, before anybody has told the switch of it."""
    require()
    file = tmp_path / "site.yaml"
    text = site_text(others="guard: off").replace("up.0", "up0")
    file.write_text(text.replace("br0: {", "br0: {kind: openvswitch, datapath: netdev, "))
    with open_lab() as lab:
        host = lab.host("up0")
        for daemon in start(host, tmp_path / "ovs"):
            lab.keep(daemon.stop)
        fds = {"db.0": tap(host, "db.0")}
        lab.keep(lambda: os.close(fds["db.0"]))

        def vsctl(*words: str) -> str:
            return run(
                ("ovs-vsctl", f"--db=unix:{tmp_path}/ovs/db.sock", f"--timeout={HUNG_S:.0f}", *words)
            ).stdout.strip()

        def passes(spa: IPv4Address, mark: int, *, within_s: float = 1.0) -> bool:
            frame = arp(spa, mark)
            os.write(fds["web.0"], frame)
            return heard(fds["db.0"], frame, within_s=within_s)

        env = {"BASCULE_STATE_DIR": str(tmp_path / "state")}
        made = lab.bascule(host, "apply", str(file), "--yes", "--no-confirm", env=env, hostname="h")
        assert made.returncode == 0, made.stderr
        me, router = PARTIES.me.ip4, PARTIES.router.ip4
        for number, how in enumerate(("at first", "again")):
            fds["web.0"] = tap(host, "web.0")
            vsctl("add-port", "br0", "web.0")  # as libvirt does
            assert not passes(router, 8 * number + 1), f"in another's name, {how}"
            made = lab.bascule(host, "apply", str(file), "--yes", "--no-confirm", env=env, hostname="h")
            assert made.returncode == 0, made.stderr
            assert passes(me, 8 * number + 2, within_s=patient(2)), how
            assert not passes(router, 8 * number + 3), f"in another's name, {how}"
            vsctl("del-port", "web.0")  # in one transaction with the next, userspace would keep the tap that is gone
            os.close(fds.pop("web.0"))
