"""The segment of these tests on a switch of Open vSwitch, its frames moved in userspace, with guards as flows."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bascule.frames.guarding import build as b
from bascule.model.site import Site
from bascule.policy.guards.flows import guard_flows
from bascule.policy.guards.ports import guarded_ports
from bascule.providers.ovs.flows import loading
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.twin.switches import start
from tests.guards.segment import PARTIES
from tests.lab import Lab, open_lab
from tests.ovs.stage import require
from tests.patience import HUNG_S, patient

OPEN = ("up.0", "LOCAL")
PATIENCE_S = patient(5)  # for a frame to cross the switch


class Switch:
    """A guarded guest's port, another guest's, and the uplink with the router behind; ``send`` is what web sends."""

    def __init__(self, lab: Lab, host: Namespace, folder: Path) -> None:
        self.host, self.folder, self._sent = host, folder, 0
        self.taps = {name: lab.tap(host, name) for name in ("web.0", "db.0", "up.0")}
        for name, fd in self.taps.items():
            os.set_blocking(fd, False)
            lab.ip(host, f"link set {name} addrgenmode none up")
        words = ("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        self.vsctl(*words)
        for name in self.taps:
            self.vsctl("add-port", "br0", name)

    def vsctl(self, *words: str) -> str:
        """Somebody's hand at the database."""
        return run(("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", f"--timeout={HUNG_S:.0f}", *words)).stdout

    def guard(self, some: Site, present: Iterable[str] = ("web.0", "db.0", "up.0", "br0")) -> None:
        """Load the guards of a site in the place of what stands."""
        named = " ".join(port.name for port in guarded_ports(some, some.hosts["h"]))
        self.vsctl("set", "bridge", "br0", "fail_mode=secure", f'external_ids:bascule-guards="{named}"')
        rules = guard_flows(guarded_ports(some, some.hosts["h"]), OPEN)
        self.ofctl("del-flows", "br0")
        self.ofctl("set-frags", "br0", "nx-match")
        self.ofctl("add-flows", "br0", "-", stdin=loading((), rules, frozenset(present)))

        self.appctl("revalidator/wait")

    def appctl(self, *words: str) -> str:
        """A word to ovs-vswitchd."""
        return run(("ovs-appctl", "-t", f"{self.folder}/ovs-vswitchd.ctl", *words)).stdout

    def ofctl(self, verb: str, bridge: str, *words: str, stdin: str = "") -> str:
        """The switch's rules."""
        door = f"unix:{self.folder}/{bridge}.mgmt"
        bundle = ("--bundle",) if verb == "add-flows" else ()
        return run(("ovs-ofctl", "-O", "OpenFlow14", "--names", *bundle, verb, door, *words), stdin=stdin).stdout

    def greet(self) -> None:
        """The switch learns where the router and the other guest are."""
        for name, who in (("up.0", PARTIES.router), ("db.0", PARTIES.other)):
            frame = b.arp(who.raw, 1, who.raw, who.ip4, who.ip4)
            os.write(self.taps[name], frame)
        self.drain()

    def send(self, frames: Iterable[bytes], port: str = "web.0") -> list[tuple[bytes, set[str]]]:
        """Each frame with the ports by which a copy of it left."""
        sent = list(frames)
        for frame in sent:
            os.write(self.taps[port], frame)
        heard = self.drain()
        return [(one, {name for name, got in heard.items() if one in got}) for one in sent]

    def drain(self) -> dict[str, list[bytes]]:
        """What leaves by each port until the legitimate frame that each port sends last has left by the others."""
        self._sent += 1
        marks = {}
        for name, who in (("web.0", PARTIES.me), ("up.0", PARTIES.router), ("db.0", PARTIES.other)):
            mark = b.arp(who.raw, 1, who.raw, who.ip4, who.ip4)[:42] + self._sent.to_bytes(18, "big")
            marks[name] = mark
        found: dict[str, list[bytes]] = {name: [] for name in self.taps}
        names = {fd: name for name, fd in self.taps.items()}
        for sender, mark in marks.items():
            os.write(self.taps[sender], mark)
        waiting = {(name, mark) for sender, mark in marks.items() for name in self.taps if name != sender}
        end = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < end:
            for fd in select.select(list(names), (), (), 0.1)[0]:
                got = os.read(fd, 65536).ljust(60, b"\0")
                found[names[fd]].append(got)
                waiting.discard((names[fd], got))
        assert not waiting, "the switch is deaf"
        return found

    def where(self, mac: str) -> str:
        """The port behind which the switch believes a MAC to be."""
        told = self.appctl("fdb/show", "br0")
        numbers = {self.vsctl("get", "interface", name, "ofport").strip(): name for name in self.taps}
        lines = (line.split() for line in told.splitlines()[1:])
        return next((numbers.get(line[0], line[0]) for line in lines if line[2] == mac), "")


@contextmanager
def switch(folder: Path) -> Iterator[Switch]:
    """A switch without guards; skips where Open vSwitch is not installed."""
    require()
    with open_lab() as lab:
        host = lab.namespace("host")
        for daemon in start(host, folder):
            lab.keep(daemon.stop)
        yield Switch(lab, host, folder)
