"""Three emulated guests under libvirt attack each other from their first moment, and nobody notices.

They send every hostile frame of the data, and what tools send that nobody here wrote. Then the guards are taken away,
and all of it arrives: so the tools do attack, and what held them was the guards.
"""

from __future__ import annotations

import gzip
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.frames import bpf
from bascule.frames.codecs.ethernet import mac_bytes
from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.build import Parties
from bascule.model.values import Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.policy.guards.table import KEY
from bascule.providers.libvirt.domain_xml import build
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import Listener
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest import cpio, init, libvirtd
from bascule.twin.test_guest.kernel import GuestImage, guest_image
from tests.guards.segment import party
from tests.guests.libvirt_host import LibvirtHost, libvirt_host
from tests.patience import patient, wait_until

pytestmark = pytest.mark.kernel
BAD_PREFIX = bytes.fromhex("20010db80bad0000")
MEMORY = 192 << 20  # with the tools and their libraries
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
# sends each frame of a file, over and over, or once
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
        if (argc > 3) return 0;
        usleep(500000);
    }
}
"""


# of Debian's packages, each in its own words; FOUR is the router's address, NEXT the next guest's, MAC its own
TOOLS = {
    "arping": "arping -c 2 -i eth0 -S FOUR NEXT",
    "mausezahn": "mausezahn eth0 -c 3 -t arp reply,smac=MAC,sip=FOUR,targetip=NEXT",
    "arpspoof": "arpspoof -i eth0 -t NEXT FOUR",
    "packit": "packit -t arp -A 2 -y FOUR -Y MAC -x NEXT -i eth0 -c 2",
    "atk6-fake_router6": "atk6-fake_router6 eth0 2001:db8:bad::/64",
}
TURN_S = 4  # of one call, emulated: some first look for their victim, and some never end
ATTACKERS = {"arping": 0, "mausezahn": 1, "arpspoof": 2, "packit": 0, "atk6-fake_router6": 1}  # by whom each is called


def installed() -> dict[str, str]:
    """The tools that are installed, each with its program."""
    return {name: path for name in TOOLS if (path := shutil.which(name)) is not None}


def called_by(number: int) -> list[str]:
    """The tools of one guest: emulation is slow, and no tool needs to be called by all three."""
    return [name for name in installed() if ATTACKERS[name] == number]


def after(name: str) -> bytes:
    """What a guest says when a call of a tool has ended: an legitimate question, for an address of this tool."""
    me = PEOPLE[ATTACKERS[name]]
    return b.arp(me.raw, 1, me.raw, me.ip4, IPv4Address(f"10.0.0.{200 + list(TOOLS).index(name)}"))


def script_of(number: int) -> str:
    """A guest's tools side by side, each over and over."""
    me, next_one = PEOPLE[number], PEOPLE[(number + 1) % 3]
    words = {"FOUR": ROUTER.ip4, "NEXT": next_one.ip4, "MAC": me.mac}
    lines = []
    for name in called_by(number):
        call = TOOLS[name]
        for word, value in words.items():
            call = re.sub(rf"\b{word}\b", str(value), call)
        told = f"/sender eth0 /frames/{name} once"
        lines.append(f"while true; do timeout -s KILL {TURN_S} /tools/{call}; {told}; sleep 1; done &\n")
    return "".join(lines)


def with_libraries(programs: Iterable[str]) -> set[str]:
    """The programs' files and those of every library that they load."""
    found = set(programs)
    for program in programs:
        listing = subprocess.run(("ldd", program), capture_output=True, text=True, check=True).stdout
        found |= {word for line in listing.splitlines() for word in line.split() if word.startswith("/")}
    return found


def tools() -> list[cpio.CpioEntry]:
    """The tools as entries of the archive: programs below /tools, libraries where they are looked for."""
    files = with_libraries(installed().values())
    entries = [cpio.directory(name) for name in ("tools", "lib", "lib/x86_64-linux-gnu", "lib64")]
    for path in sorted(files):
        name = Path(path).name
        where = (
            "tools" if path in installed().values() else "lib64" if name.startswith("ld-") else "lib/x86_64-linux-gnu"
        )
        entries.append(cpio.file(f"{where}/{name}", Path(path).read_bytes(), executable=True))
    return entries


ROUTERS_ARP, RA = "ARP for the router", "a router advertisement"
CLAIMS = {ROUTERS_ARP: ("arping", "mausezahn", "arpspoof", "packit"), RA: ("atk6-fake_router6",)}


def blamed(frame: bytes) -> str:
    """What a guest's tool did with a frame: claim the router's address, or be a router."""
    kind, sender = int.from_bytes(frame[12:14]), frame[6:12]
    if sender == mac_bytes(WIRE):
        return ""
    if kind == b.ARP and frame[28:32] == ROUTER.ip4.packed:
        return ROUTERS_ARP
    if kind == b.IPV6 and frame[20] == b.ICMPV6 and frame[54] == 134 and BAD_PREFIX in frame:
        return RA
    return ""


def parties(number: int) -> Parties:
    """What a guest needs to attack the next one and the wire."""
    return Parties(me=PEOPLE[number], other=PEOPLE[(number + 1) % 3], router=ROUTER)


def hostile(number: int) -> list[bytes]:
    return [frame.ljust(60, b"\0") for one in ATTACKS for frame in one.frames(parties(number))]


def legitimate(number: int) -> bytes:
    me = PEOPLE[number]
    return b.arp(me.raw, 1, me.raw, me.ip4, me.ip4)


def packed(frames: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack("!H", len(frame)) + frame for frame in frames)


def attackers(image: GuestImage, folder: Path) -> GuestImage:
    """The test guest, but that it sends hostile frames before it does anything else."""
    source = folder / "sender.c"
    source.write_text(SENDER)
    subprocess.run(("cc", "-Os", "-static", "-o", str(folder / "sender"), str(source)), check=True)
    first = "ip link set lo up\nip link set eth0 up\n/sender eth0 /frames/$(hostname) &\n"
    script = init.SCRIPTS["init"].replace("ip link set lo up\n", first, 1)
    script = script.replace(
        f"echo {init.READY}\n", f"sh /tools/$(hostname) >/dev/null 2>&1 </dev/null &\necho {init.READY}\n"
    )
    entries = [cpio.file("init", script.encode(), executable=True), cpio.directory("frames")]
    entries += [cpio.file("sender", (folder / "sender").read_bytes(), executable=True)]
    entries += [
        cpio.file(f"frames/g{number + 1}", packed([*hostile(number), legitimate(number)])) for number in range(3)
    ]
    entries += [cpio.file(f"frames/{name}", packed([after(name)])) for name in installed()]
    entries += tools()
    entries += [cpio.file(f"tools/g{number + 1}", script_of(number).encode()) for number in range(3)]
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
            mine = replace(guest, kernel=str(made.kernel), initrd=str(made.initrd), memory=MEMORY)
            mine = replace(mine, cmdline=init.command_line(mine))
            xml = build(mine, accel="tcg").replace(f'<target dev="{guest.name}.0"/>', "")
            if guest.name == "g1":
                hypervisor.undefine_domain("g1")
            hypervisor.define_domain(xml)
        there.apply("--no-confirm")
        named = {name: f"dev='{name}.0'" in hypervisor.domain(name).next for name in some.guests}
        heard = attack(there, list(some.guests))
        for name in some.guests:
            hypervisor.stop_domain(name)
    return {"named": named, **heard}


class Ears:
    """Listens on the wire and at the taps, and sorts what it hears by place."""

    def __init__(self, there: LibvirtHost, names: Iterable[str]) -> None:
        sends = {f"g{n + 1}": {key(frame) for frame in hostile(n)} for n in range(3)}
        self.bad = {place: set().union(*sends.values()) - sends.get(place, set()) for place in ("wire", *names)}
        self.fine = {key(legitimate(n)) for n in range(3)} | {key(after(name)) for name in installed()}
        self.there, self.open = there, {}  # type: ignore[var-annotated]  # listeners by place
        self.leaked, self.good, self.claims = [], set(), set()  # type: ignore[var-annotated]  # of frames, and of words

    def listen(self, place: str, link: str, where: Namespace) -> None:
        """To all frames of a link from now on."""
        with where.entered():
            self.open[place] = Listener(link, bpf.any_of([]))

    def hear(self) -> None:
        """Take what has come."""
        for place, ear in self.open.items():
            own = mac_bytes(PEOPLE[int(place[1:]) - 1].mac) if place != "wire" else b""
            for frame, _ in ear.frames(4096):
                found = key(frame)
                self.good |= {found} & self.fine if place == "wire" else set()
                self.leaked += [f"{place}: {found.hex()}"] if found in self.bad[place] else []
                claim = blamed(frame) if frame[6:12] != own else ""
                self.claims |= {claim} if claim and found not in self.bad[place] else set()

    def until(self, done: Callable[[], bool], seconds: float) -> None:
        """Go on hearing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            time.sleep(0.3)
            self.hear()


def attack(there: LibvirtHost, names: list[str]) -> dict[str, Any]:
    """Start all three, and listen on the wire from before they start, and at each tap as soon as it is there.

    With guards until all of them have sent their frames and every tool has been called; then without.
    """
    ears = Ears(there, names)
    ears.listen("wire", "eth0", there.wire)
    for name in names:
        there.hypervisor().start_domain(name)
        wait_until(lambda name=name: f"{name}.0" in there.links(), 20, f"the tap of {name}")  # type: ignore[misc]
        ears.listen(name, f"{name}.0", there.host)
    ears.until(lambda: ears.good >= ears.fine, patient(30))
    guarded = {"leaked": ears.leaked[:5], "unheard": len(ears.fine - ears.good), "claims": sorted(ears.claims)}
    fdb = {entry.mac: str(entry.port) for entry in read_fdb(there.host) if not entry.static}
    status = there.ok("status", connect=False)
    run(("nft", "delete", "table", *KEY.split()), namespace=there.host)
    ears.leaked = []
    wanted = {words for words, of in CLAIMS.items() if set(of) & installed().keys()}
    ears.until(lambda: bool(ears.leaked) and ears.claims >= wanted, patient(30))
    for ear in ears.open.values():
        ear.close()
    bare = {"leaked": len(ears.leaked), "lacking": sorted(wanted - ears.claims)}
    return {"guarded": guarded, "fdb": fdb, "status": status, "bare": bare}


def image_or_skip() -> GuestImage:
    """What guests boot that libvirt starts and that send frames of ours; a skip with what is missing for that."""
    if why := libvirtd.missing():
        pytest.skip(why)
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to make the attacker's program with")
    try:
        return guest_image()
    except BasculeError as error:
        pytest.skip(str(error).splitlines()[0])


def test_three_guests_attack_each_other_in_vain() -> None:
    found = sandboxed(scenario, image_or_skip())
    assert found["named"] == {"g1": True, "g2": True, "g3": True}
    assert found["guarded"] == {"leaked": [], "unheard": 0, "claims": []}  # they do send
    assert found["bare"]["leaked"] > 0
    assert found["bare"]["lacking"] == []
    fdb = found["fdb"]
    assert {mac: fdb.get(mac) for mac in (*(p.mac for p in PEOPLE), WIRE)} == {
        PEOPLE[0].mac: "g1.0", PEOPLE[1].mac: "g2.0", PEOPLE[2].mac: "g3.0", WIRE: fdb.get(WIRE)
    }  # fmt: skip
    assert fdb.get(WIRE) in {None, "eth4"}
    for number in (1, 2, 3):
        assert f"g{number}.0: " in found["status"]
