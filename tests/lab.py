"""Throw-away network namespaces for tests on the real kernel."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.system.net.netns import Namespace, call
from bascule.system.run import run
from tests import prefork
from tests.patience import patient

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
CLONE_NEWUTS = 0x04000000  # linux/sched.h


@contextlib.contextmanager
def called(hostname: str) -> Iterator[None]:
    """Be on a machine of this name for a while, with what is started meanwhile; on this one for ``""``."""
    if not hostname:
        yield
        return
    home = os.open("/proc/thread-self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("unshare", CLONE_NEWUTS)
        socket.sethostname(hostname)
        yield
    finally:
        call("setns", home, CLONE_NEWUTS)
        os.close(home)


def on_its_host(*words: str) -> contextlib.AbstractContextManager[None]:
    """Be on the first host of the site file that a command line is to plan for, as whoever wrote the file is."""
    for word in words if {"plan", "apply", "rehearse", "verify", "define"} & {*words} else ():
        if word.endswith((".yaml", ".yml")) and Path(word).is_file():
            found = re.search(r"^hosts:\s*\{?\s*([\w.-]+):", Path(word).read_text(errors="replace"), re.MULTILINE)
            return called(found[1] if found else "")
    return called("")


def pings(where: Namespace, address: str, *, seconds: float = patient(2)) -> bool:
    """Whether an address answers. Who expects silence says how many seconds of it are enough."""
    begun = time.monotonic()
    while (
        left := begun + seconds - time.monotonic()
    ) > 0:  # again, for ping gives up when the kernel does for a moment
        words = ("ping", "-n", "-q", "-c", "1", "-i", "0.2", "-w", str(math.ceil(left)), address)
        if run(words, namespace=where, check=False).status == 0:
            return True
        time.sleep(0.1)
    return False


class Lab:
    """Namespaces that play hosts, and helpers to furnish them; all gone with ``close``."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._made: dict[tuple[int, int], int] = {}  # the namespaces, each with a descriptor that holds it

    def namespace(self, name: str) -> Namespace:
        """An empty namespace with its loopback up."""
        fresh = self._stack.enter_context(Namespace.new(name))
        self._made[fresh.identity] = os.dup(fresh.fd)
        self.ip(fresh, "link set lo up")
        return fresh

    def host(self, *nics: str) -> Namespace:
        """A host whose NICs are veth cables with carrier."""
        host = self.namespace("host")
        for nic in nics:
            self.ip(host, f"link add {nic} type veth peer name {nic}-wire")
            self.ip(host, f"link set {nic}-wire up")
        return host

    def tap(self, namespace: Namespace, name: str) -> int:
        """A tap that lives as long as the lab, as a running guest holds it."""
        with namespace.entered():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        self.keep(lambda: os.close(fd))
        return fd

    def keep(self, close: Callable[[], object]) -> None:
        """Something that lives as long as the lab, and how it is let go of."""
        self._stack.callback(close)

    def ip(self, namespace: Namespace, words: str) -> str:
        """Run ``ip`` in a namespace."""
        return run(("ip", *words.split()), namespace=namespace).stdout

    def bascule(
        self, namespace: Namespace, *words: str, env: dict[str, str] | None = None, hostname: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in a namespace, as an administrator would on a machine of that name."""
        with namespace.entered(), called(hostname) if hostname else on_its_host(*words):
            return prefork.run(*words, env={**os.environ, **(env or {})})

    def close(self) -> None:
        """Let go of everything, and end what outlives a change: the name servers of virtual networks.

        The namespaces go last: the kernel gives the number of one that is gone to the next, which may be another lab's.
        """
        self._stack.close()
        while self._end_all():  # one that was being started while we looked, or does not end at once
            time.sleep(0.01)
        while self._made:
            os.close(self._made.popitem()[1])

    def _end_all(self) -> bool:
        """Whether any program was found in the namespaces."""
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                status = (process / "ns/net").stat()
                if (status.st_dev, status.st_ino) in self._made and int(process.name) != os.getpid():
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
        return found


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """A lab, or a skip with the reason where the kernel does not allow one."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces here needs root")
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()
