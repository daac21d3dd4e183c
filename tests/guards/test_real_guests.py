"""Three emulated guests under libvirt attack each other from their first moment, and nobody notices."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.frames import bpf
from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.build import Parties
from bascule.model.values import Mac
from bascule.providers.libvirt.domain_xml import build
from bascule.site import parse
from bascule.system.net.fdb import read_fdb
from bascule.system.net.packet import Listener
from bascule.system.process.sandbox import sandboxed
from bascule.twin.test_guest import cpio, init, libvirtd
from bascule.twin.test_guest.kernel import GuestImage, guest_image
from tests.guards.segment import party
from tests.guests.libvirt_host import LibvirtHost, libvirt_host, wait_until

pytestmark = pytest.mark.kernel
WIRE = Mac("02:00:00:00:00:99")
SITE = """
site: t
networks: {lan: {subnet: [10.0.0.0/24, "2001:db8::/64"]}}
hosts: {h: {nics: {eth4: {network: lan}}, bridges: {br4: {uplink: eth4, guard: strict}}}}
guests:
"""
GUEST = """
  g{0}:
    host: h
    memory: 128MiB
    nics: [{{bridge: br4, mac: "52:54:00:00:00:0{0}", address: [10.0.0.1{0}/24, "2001:db8::1{0}/64"]}}]
"""
ROUTER = party(WIRE, "10.0.0.9", "2001:db8::9")
PEOPLE = [party(f"52:54:00:00:00:0{n}", f"10.0.0.1{n}", f"2001:db8::1{n}") for n in (1, 2, 3)]
# sends each frame of a file, over and over
SENDER = r"""
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    unsigned char head[2], frame[65536];
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(argv[1]), .sll_halen = 6};
    int out = socket(AF_PACKET, SOCK_RAW, 0);
    for (;;) {
        FILE *file = fopen(argv[2], "rb");
        while (file && fread(head, 1, 2, file) == 2) {
            unsigned size = head[0] << 8 | head[1];
            if (fread(frame, 1, size, file) != size) break;
            sendto(out, frame, size, 0, (struct sockaddr *)&to, sizeof to);
        }
        fclose(file);
        usleep(200000);
    }
}
"""


def parties(number: int) -> Parties:
    """What a guest needs to attack the next one and the wire."""
    return Parties(me=PEOPLE[number], other=PEOPLE[(number + 1) % 3], router=ROUTER)


def hostile(number: int) -> list[bytes]:
    return [frame.ljust(60, b"\0") for one in ATTACKS for frame in one.frames(parties(number))]


def honest(number: int) -> bytes:
    me = PEOPLE[number]
    return b.arp(me.raw, 1, me.raw, me.ip4, me.ip4)


def packed(frames: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack("!H", len(frame)) + frame for frame in frames)


def attackers(image: GuestImage, folder: Path) -> GuestImage:
    """The test guest, but that it sends hostile frames before it does anything else."""
    source = folder / "sender.c"
    source.write_text(SENDER)
    subprocess.run(("cc", "-Os", "-static", "-o", str(folder / "sender"), str(source)), check=True)
    script = init.SCRIPTS["init"].replace(
        "ip link set lo up\n", "ip link set lo up\nip link set eth0 up\n/sender eth0 /frames/$(hostname) &\n", 1
    )
    entries = [cpio.file("init", script.encode(), executable=True), cpio.directory("frames")]
    entries += [cpio.file("sender", (folder / "sender").read_bytes(), executable=True)]
    entries += [cpio.file(f"frames/g{number + 1}", packed([*hostile(number), honest(number)])) for number in range(3)]
    initrd = folder / "initrd"
    initrd.write_bytes(image.initrd.read_bytes() + gzip.compress(cpio.archive(entries), 1))
    return replace(image, initrd=initrd)


def key(frame: bytes) -> bytes:
    return frame.rstrip(b"\0")


def scenario(image: GuestImage) -> dict[str, Any]:
    """In a sandbox; what was found is judged outside."""
    text = SITE + "".join(GUEST.format(n) for n in (1, 2, 3))
    with libvirt_host(image, site=text) as there:
        there.lab.ip(there.wire, f"link set eth0 address {WIRE}")
        hypervisor = there.hypervisor()
        hypervisor.stop_domain("g1")
        made = attackers(image, there.folder)
        some = parse(text.encode(), "site.yaml")
        for guest in some.guests.values():  # as somebody else would: libvirt chooses the names of their taps
            mine = replace(guest, kernel=str(made.kernel), initrd=str(made.initrd), memory=init.MEMORY)
            mine = replace(mine, cmdline=init.command_line(mine))
            xml = build(mine, accel="tcg").replace(f'<target dev="{guest.name}.0"/>', "")
            if guest.name == "g1":
                hypervisor.undefine_domain("g1")
            hypervisor.define_domain(xml)
        there.apply("--no-confirm")
        named = {name: f"dev='{name}.0'" in hypervisor.domain(name).next for name in some.guests}
        heard = attack(there, list(some.guests))
        fdb = {entry.mac: str(entry.port) for entry in read_fdb(there.host) if not entry.static}
        status = there.ok("status", connect=False)
        for name in some.guests:
            hypervisor.stop_domain(name)
    return {"named": named, "fdb": fdb, "status": status, **heard}


def attack(there: LibvirtHost, names: list[str]) -> dict[str, Any]:
    """Start all three, and listen on the wire from before they start, and at each tap as soon as it is there."""
    everything = bpf.any_of([])
    sends = {f"g{n + 1}": {key(frame) for frame in hostile(n)} for n in range(3)}
    bad = {place: set().union(*sends.values()) - sends.get(place, set()) for place in ("wire", *names)}
    fine = {key(honest(n)) for n in range(3)}
    leaked: list[str] = []
    good: set[bytes] = set()
    with there.wire.entered():
        ears = {"wire": Listener("eth0", everything)}
    for name in names:
        there.hypervisor().start_domain(name)
        wait_until(lambda name=name: f"{name}.0" in there.links(), 20, f"the tap of {name}")  # type: ignore[misc]
        with there.host.entered():
            ears[name] = Listener(f"{name}.0", everything)
    end = time.monotonic() + 120
    rounds = 0
    while time.monotonic() < end and rounds < 4:
        time.sleep(0.3)
        rounds += good >= fine
        for place, ear in ears.items():
            for frame, _ in ear.frames(4096):
                found = key(frame)
                good |= {found} & fine if place == "wire" else set()
                leaked += [f"{place}: {found.hex()}"] if found in bad[place] else []
    for ear in ears.values():
        ear.close()
    return {"leaked": leaked[:5], "good": len(good)}


def test_three_guests_attack_each_other_in_vain() -> None:
    if why := libvirtd.missing():
        pytest.skip(why)
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to make the attacker's program with")
    try:
        image = guest_image()
    except BasculeError as error:
        pytest.skip(str(error).splitlines()[0])
    found = sandboxed(scenario, image)
    assert found["named"] == {"g1": True, "g2": True, "g3": True}
    assert found["good"] == 3  # they do send
    assert found["leaked"] == []
    fdb = found["fdb"]
    assert {mac: fdb.get(mac) for mac in (*(p.mac for p in PEOPLE), WIRE)} == {
        PEOPLE[0].mac: "g1.0", PEOPLE[1].mac: "g2.0", PEOPLE[2].mac: "g3.0", WIRE: fdb.get(WIRE)
    }  # fmt: skip
    assert fdb.get(WIRE) in {None, "eth4"}
    for number in (1, 2, 3):
        assert f"g{number}.0: " in found["status"]
