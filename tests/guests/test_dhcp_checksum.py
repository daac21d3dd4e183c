"""The answers of our DHCP server suit a client that checks UDP checksums, where the host leaves them to the NIC.

vhost hands a guest what the host has not filled in. There is no vhost here, so that a tap with the same offload
(TUN_F_CSUM) stands in its place, and a relay carries its frames to a real guest, without the note that would excuse
the checksum: what an old client makes of it. QEMU's own path fills in what is a DHCP answer, and proves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.frames.codecs.ip import checksum
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Mode, PlugKind
from bascule.policy.network_rules import network_table
from bascule.providers.qemu.command_line import Boot, Files, arguments
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.twin.test_guest import libvirtd
from bascule.twin.test_guest.init import as_test_guest
from bascule.twin.test_guest.kernel import guest_image
from tests.guests.values import guest, nic, site, virtual_network
from tests.guests.wires import running, street
from tests.lab import IFF_NO_PI, IFF_TAP, TUNSETIFF, Lab
from tests.patience import patient

pytestmark = pytest.mark.kernel
IFF_VNET_HDR, TUNSETOFFLOAD, TUN_F_CSUM = 0x4000, 0x400454D0, 1  # linux/if_tun.h
NOTHING_SAID = bytes(10)  # struct virtio_net_hdr: no offload
BOOTPS, BOOTPC = 67, 68


class Relay:
    """Carries frames between a tap with checksum offload and a guest, and keeps the checksums of DHCP answers."""

    def __init__(self, host: Namespace, tap: str) -> None:
        with host.entered():
            self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(self._tap, TUNSETIFF, struct.pack("16sH22x", tap.encode(), flags))
        fcntl.ioctl(self._tap, TUNSETOFFLOAD, TUN_F_CSUM)
        self._ours, self._guests = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (self._ours, self._guests):
            end.bind(("127.0.0.1", 0))
        self._there = self._guests.getsockname()
        self._guests.close()  # QEMU takes its place
        self.answers: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    @property
    def netdev(self) -> str:
        """The word for QEMU."""
        ours, guests = (f"127.0.0.1:{port}" for port in (self._ours.getsockname()[1], self._there[1]))
        return f"socket,id=net0,udp={ours},localaddr={guests}"

    def _carry(self) -> None:
        while not self._over.is_set():
            for end in select.select([self._tap, self._ours.fileno()], [], [], 0.1)[0]:
                if end != self._tap:
                    os.write(self._tap, NOTHING_SAID + self._ours.recv(65536))
                else:
                    frame = os.read(self._tap, 65536)[len(NOTHING_SAID) :]
                    self._look(frame)
                    self._ours.sendto(frame, self._there)

    def _look(self, frame: bytes) -> None:
        if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
            return
        segment = frame[34 : 34 + int.from_bytes(frame[38:40])]
        if segment[:4] == struct.pack("!HH", BOOTPS, BOOTPC):
            pseudo = frame[26:34] + struct.pack("!HH", socket.IPPROTO_UDP, len(segment))
            blank = segment[6:8] == b"\0\0"
            self.answers.append("none" if blank else "wrong" if checksum(pseudo + segment) else "right")

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._ours.close()
        os.close(self._tap)


@contextlib.contextmanager
def booted(relay: Relay, folder: Path) -> Iterator[Files]:
    """The test guest with its one NIC at the relay, which asks for a lease every second."""
    if why := libvirtd.missing():
        pytest.skip(why)
    try:
        image = guest_image()
    except BasculeError as error:
        pytest.skip(str(error).splitlines()[0])
    files = Files(folder=folder)
    asks = nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)
    played = as_test_guest(guest("g1", asks), str(image.kernel), str(image.initrd))
    boot = Boot(kernel=str(image.kernel), initrd=str(image.initrd), cmdline=played.cmdline or "")
    words = list(arguments(played, accel="tcg", memory=played.memory or 0, nics=(), files=files, boot=boot))
    words.remove("-daemonize")  # so that it ends with the test
    device = f"virtio-net-pci,netdev=net0,mac={asks.mac},romfile="
    with subprocess.Popen((*words, "-netdev", relay.netdev, "-device", device), stdin=subprocess.DEVNULL) as qemu:
        try:
            yield files
        finally:
            qemu.kill()


@pytest.mark.parametrize("mode", [Mode.NAT])
def test_a_guest_that_checks_gets_its_lease(lab: Lab, tmp_path: Path, mode: Mode) -> None:
    asks = guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK))
    there = street(lab)
    with running(site(asks, networks=(virtual_network(mode),)), there.host, tmp_path) as network:
        one = network.resolved_network
        run(("nft", "flush", "chain", "inet", "bascule_lab", "checksum"), namespace=there.host)
        relay = Relay(there.host, "g1.0")
        lab.keep(relay.close)
        lab.ip(there.host, f"link set g1.0 up master {one.bridge}")
        with booted(relay, tmp_path) as files:
            wait(lambda: len(relay.answers) > 1)
            assert set(relay.answers) == {"wrong"}, "the host leaves it to the NIC"
            assert "BASCULE-LEASE" not in files.console.read_text()
            table = network_table(one, "bascule:test")
            assert table is not None
            run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=there.host)
            wait(lambda: f"BASCULE-LEASE eth0 {one.reservations[0].address}/24" in files.console.read_text())
            assert relay.answers[-1] == "none"


def wait(good: Callable[[], bool]) -> None:
    end = time.monotonic() + patient(30)
    while not good():
        assert time.monotonic() < end
        time.sleep(0.1)
