"""A small building in namespaces, made of real switches and daemons: what a survey is tested against.

A switch is a Linux bridge with the spanning tree on; lldpd speaks LLDP and CDP for it; dnsmasq, radvd and keepalived
play the routers. Everything ends with the lab.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bascule.frames import bpf
from bascule.model.values import IfName
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import Listener
from tests.lab import Lab
from tests.patience import patient

LLDP = 0x88CC


class Building:
    """Switches, machines and daemons around one host."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bascule-survey-")))
        self.folder.chmod(0o755)
        self.host = lab.namespace("host")
        self._talk: list[Callable[[], None]] = []
        self._quiet = threading.Event()

    def switch(self, name: str, *, stp: bool = True) -> Namespace:
        """A Linux bridge ``br0`` in a namespace of its own; it forwards at once, as a port with portfast does."""
        space = self.lab.namespace(name)
        self.lab.ip(space, f"link add br0 type bridge stp_state {int(stp)} forward_delay 200 hello_time 100")
        self.lab.ip(space, "link set br0 addrgenmode none up")
        return space

    def cable(self, one: Namespace, end: str, two: Namespace, other: str, *, bridge: str = "", up: bool = True) -> None:
        """A cable whose second end is a port of the switch's bridge, if one is named; ``up`` is about the first end."""
        self.lab.ip(one, f"link add {end} type veth peer name {other} netns {_path(two)}")
        self.lab.ip(two, f"link set {other} addrgenmode none")
        if bridge:
            self.lab.ip(two, f"link set {other} master {bridge}")
        self.lab.ip(two, f"link set {other} up")
        self.lab.ip(one, f"link set {end} up")
        if not up:
            self.lab.ip(one, f"link set {end} down")  # it was up once, as any NIC that was configured

    def daemon(
        self, space: Namespace, argv: Sequence[str], *, config: str = "", suffix: str = ".conf"
    ) -> subprocess.Popen[bytes]:
        """A daemon in the foreground; ``{conf}`` in its words is a file with ``config``."""
        if shutil.which(argv[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{argv[0]} is not installed (make dev-tools installs it)")
        path = self.folder / f"{len(list(self.folder.iterdir()))}-{argv[0]}{suffix}"
        path.write_text(config)
        path.chmod(0o644)
        words = [word.replace("{conf}", str(path)).replace("{dir}", str(self.folder)) for word in argv]
        with space.entered():
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
                start_new_session=True,
            )
        self._stack.callback(_end, process)
        return process

    def says(self, space: Namespace, link: str, frames: Sequence[bytes], every_s: float = 0.3) -> None:
        """Send these frames on a link again and again until the building is closed."""
        with space.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            raw.bind((link, 0))

        def talk() -> None:
            while not self._quiet.wait(every_s):
                for frame in frames:
                    with contextlib.suppress(OSError):
                        raw.send(frame)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        self._stack.callback(raw.close)
        self._stack.callback(thread.join, 5)

    def awaits(self, space: Namespace, link: str, ethertype: int, *, number: int = 1) -> None:
        """Wait until so many frames of this type have come on a link: somebody speaks, however late he began."""
        with space.entered():
            heard = Listener(IfName(link), bpf.any_of([]))
        with contextlib.closing(heard):
            kind, came = ethertype.to_bytes(2, "big"), list[bytes]()

            def enough() -> bool:
                came.extend(data for data, _ in heard.frames() if data[12:14] == kind)
                return len(came) >= number

            wait_for(enough, timeout_s=20)

    def speaks_lldp(self, space: Namespace, *words: str) -> None:
        """A daemon that speaks LLDP once a second by now, as eth2 of the host hears.

        It is told so until it does: what it is told while it still starts it may forget.
        """
        control = self.folder / "lldpd.sock"
        self.daemon(space, ("lldpd", "-d", "-l", *words, "-u", str(control)))
        told = threading.Event()

        def tell() -> None:
            while not told.wait(1):
                for verb in ("resume", "configure lldp tx-interval 1"):
                    subprocess.run(("lldpcli", "-u", str(control), *verb.split()), check=False, capture_output=True)

        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        try:
            self.awaits(self.host, "eth2", LLDP, number=4)  # more than it says before it waits for half a minute
        finally:
            told.set()
            telling.join()

    def is_heard(self, link: str) -> bool:
        """Whether a survey listens on a link of the host by now (/proc/net/packet)."""
        number = self.lab.ip(self.host, f"-o link show {link}").partition(":")[0]
        with self.host.entered():
            rows = Path("/proc/thread-self/net/packet").read_text().splitlines()[1:]
        return any(row.split()[4] == number for row in rows)

    def close(self) -> None:
        """End all daemons and threads."""
        self._quiet.set()
        self._stack.close()


def _path(space: Namespace) -> str:
    return f"/proc/{os.getpid()}/fd/{space.fd}"


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)  # its own session: keepalived and lldpd have children
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def wait_for(what: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Poll until it is so."""
    until = time.monotonic() + patient(timeout_s)
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)
