"""A hostile guest moves to another host and back, by libvirt itself: a guard waits for it there, and none stays behind.

Two hosts with a libvirtd each; the guest sends every hostile frame of the data, over and over, also while it moves.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.frames import bpf
from bascule.frames.codecs.ethernet import mac_bytes
from bascule.frames.guarding import build as b
from bascule.policy.guards.loaded import loaded_guards
from bascule.policy.guards.table import KEY
from bascule.providers.libvirt.domain_xml import build
from bascule.providers.observe import observe
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import Listener
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest import cpio, init
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests.guards.test_real_guests import PEOPLE, SENDER, WIRE, hostile, image_or_skip, key, legitimate, packed
from tests.guests.libvirt_host import LibvirtHost
from tests.lab import Lab
from tests.patience import wait_until

pytestmark = pytest.mark.kernel
ME = PEOPLE[0]
HOST = "  {0}: {{nics: {{eth4: {{network: lan}}}}, bridges: {{br4: {{uplink: eth4, guard: strict}}}}}}\n"
SITE = """
site: t
networks: {{lan: {{subnet: [10.0.0.0/24, "2001:db8::/64"]}}}}
hosts:
{0}{1}guests:
  g1: {{host: {2}, nics: [{{bridge: br4, mac: "{3}", address: [{4}/24, "{5}/64"]}}]}}
"""
AWAY = {"left": "right", "right": "left"}
MANAGEMENT = {"left": "10.255.0.1", "right": "10.255.0.2"}  # over which the guest's memory goes


class Building:
    """Two hosts on one wire, and an ear on it."""

    def __init__(self, lab: Lab, hosts: dict[str, LibvirtHost], wire: Namespace, ear: Listener) -> None:
        self.lab, self.hosts, self.wire, self.ear = lab, hosts, wire, ear
        self.bad, self.good = {key(frame) for frame in hostile(0)}, key(legitimate(0))
        self.leaked: list[str] = []
        self.fine = self.announced = 0

    def hear(self) -> None:
        """Take what has come out on the wire."""
        for frame, _ in self.ear.frames(4096):
            found = key(frame)
            self.leaked += [found.hex()] if found in self.bad else []
            self.fine += found == self.good
            self.announced += frame[6:14] == mac_bytes(ME.mac) + b.RARP.to_bytes(2)

    def apply(self, here: str, runs_on: str) -> None:
        """A host is told where the guest i."""
        host = self.hosts[here]
        texts = [HOST.format(name) for name in (here, AWAY[here])]  # whoever stands first is this host
        host.site.write_text(SITE.format(*texts, runs_on, ME.mac, ME.ip4, ME.ip6))
        host.apply("--no-confirm")

    def guarded(self, here: str) -> bool:
        """Whether elements for the guest's port stand on a host."""
        with self.hosts[here].host.entered():
            return "g1.0" in loaded_guards(observe().tables)

    def heard_there(self, where: str) -> None:
        """The guest is heard on the wire, and the port of its host is where it is heard."""
        before = self.fine

        def speaks() -> bool:
            self.hear()
            rows = run(("bridge", "fdb", "show", "brport", where), namespace=self.wire).stdout
            return self.fine > before and ME.mac in rows

        wait_until(speaks, 60, f"the guest on {where}")

    def move(self, here: str) -> None:
        """From a host to the other one, while it runs."""
        there = AWAY[here]
        self.apply(there, there)  # first its guard, then the guest
        assert self.guarded(there)
        source, target = (self.hosts[name].libvirt.uri for name in (here, there))
        listens = ("--migrateuri", f"tcp://{MANAGEMENT[there]}", "--listen-address", MANAGEMENT[there])
        run(("virsh", "-q", "-c", source, "migrate", "--live", *listens, "g1", target))
        self.heard_there(there)
        self.apply(here, there)
        assert (self.guarded(here), self.guarded(there)) == (False, True)


def sender(image: GuestImage, folder: Path) -> GuestImage:
    """The test guest, but that it sends its frames before it does anything else, and never ends."""
    (folder / "sender.c").write_text(SENDER)
    subprocess.run(("cc", "-Os", "-static", "-o", folder / "sender", folder / "sender.c"), check=True)
    first = "ip link set lo up\nip link set eth0 up\n/sender eth0 /frames &\n"
    script = init.SCRIPTS["init"].replace("ip link set lo up\n", first, 1)
    entries = [
        cpio.file("init", script.encode(), executable=True),
        cpio.file("sender", (folder / "sender").read_bytes(), executable=True),
        cpio.file("frames", packed([*hostile(0), legitimate(0)])),
    ]
    initrd = folder / "initrd"
    initrd.write_bytes(image.initrd.read_bytes() + gzip.compress(cpio.archive(entries), 1))
    return replace(image, initrd=initrd)


@contextlib.contextmanager
def building() -> Iterator[Building]:
    """Two hosts, a switch between them, and a line of their own for the guest's memory."""
    with contextlib.closing(Lab()) as lab, contextlib.ExitStack() as stack:
        wire = lab.namespace("wire")
        lab.ip(wire, "link add br0 type bridge forward_delay 0 mcast_snooping 0")
        lab.ip(wire, f"link set br0 address {WIRE} up")
        spaces = {name: lab.namespace(name) for name in AWAY}
        ends = {name: f"/proc/{os.getpid()}/fd/{space.fd}" for name, space in spaces.items()}
        lab.ip(spaces["left"], f"link add mgmt type veth peer name mgmt netns {ends['right']}")
        hosts = {}
        for name, space in spaces.items():
            lab.ip(wire, f"link add {name} type veth peer name eth4 netns {ends[name]}")
            lab.ip(wire, f"link set {name} master br0 up")
            lab.ip(space, "link set eth4 up")
            lab.ip(space, f"addr add {MANAGEMENT[name]}/24 dev mgmt")
            lab.ip(space, "link set mgmt up")
            folder = Path(f"/run/{name}")
            folder.mkdir()
            daemon = stack.enter_context(PrivateLibvirt(space, folder / "libvirt", hostname=name))
            hosts[name] = LibvirtHost(lab, space, wire, daemon, folder)
        with wire.entered():
            ear = stack.enter_context(contextlib.closing(Listener("br0", bpf.any_of([]))))
        yield Building(lab, hosts, wire, ear)


def scenario(image: GuestImage) -> dict[str, Any]:
    """In a sandbox; what was found is judged outside."""
    with building() as there:
        some = parse(SITE.format(HOST.format("left"), "", "left", ME.mac, ME.ip4, ME.ip6).encode(), "site.yaml")
        made = sender(image, there.hosts["left"].folder)
        guest = replace(some.guests["g1"], kernel=str(made.kernel), initrd=str(made.initrd), memory=init.MEMORY)
        xml = build(replace(guest, cmdline=init.command_line(guest)), accel="tcg")
        left, right = (there.hosts[name].hypervisor() for name in AWAY)
        left.define_domain(xml)
        right.define_domain(left.domain("g1").next)  # the same guest: it keeps its UUID
        there.apply("left", "left")
        left.start_domain("g1")
        there.heard_there("left")
        for here in AWAY:
            there.move(here)
        found = {"leaked": there.leaked[:3], "announced": there.announced}
        run(("nft", "delete", "table", *KEY.split()), namespace=there.hosts["left"].host)

        def leaks() -> bool:
            there.hear()
            return bool(there.leaked)

        wait_until(leaks, 60, "a hostile frame without a guard")
        return found


def test_a_guest_finds_its_guard_where_it_goes_and_leaves_none_behind() -> None:
    found = sandboxed(scenario, image_or_skip())
    assert found["leaked"] == []
    assert found["announced"]  # by QEMU, as RARP, through the guard of the new host
