"""A host in a namespace with a wire at each NIC, guests at its taps, and the kernel's own words about it."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from typing import Any

from bascule.apply.engine import execute
from bascule.apply.prepare import look
from bascule.apply.rollback.passes import roll_back
from bascule.host.live import LiveHost
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.make import make_plan
from bascule.providers.protocol import ThreeWay
from bascule.site import parse
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab

ETHERTYPE = 0x88B5  # IEEE 802 local experimental
SOL_PACKET, OUTGOING = 263, 4
PACKET_AUXDATA, VLAN_VALID = 8, 0x10  # linux/if_packet.h: the kernel has taken the tag off before we read
BROADCAST = b"\xff" * 6
SILENCE_S = 0.5


class Rig:
    """One host of a site: ``wire`` holds the far ends of its NICs, ``guests`` those of its taps, by the same names."""

    def __init__(self, lab: Lab, text: str, *nics: str, taps: tuple[str, ...] = ()) -> None:
        self.lab = lab
        self.room, self.wire, self.guests = (lab.namespace(name) for name in ("host", "wire", "guests"))
        self.site: Site = parse(text.encode(), "site.yaml")
        self.numbers = 0
        for name in nics:
            self.cable(name, self.wire)
        for name in taps:  # a bridge makes no difference between a tap and one end of a veth pair
            self.cable(name, self.guests)
        self.cables = {**dict.fromkeys(nics, self.wire), **dict.fromkeys(taps, self.guests)}

    def cable(self, name: str, far: Namespace) -> None:
        """A link of the host whose other end, up and with carrier, is in another namespace."""
        ends = rtnetlink.VethEnd(name=name), rtnetlink.VethEnd(name=name, namespace=far)
        rtnetlink.change(self.room, [rtnetlink.add_veth(*ends)])
        rtnetlink.change(far, [*rtnetlink.addrgenmode_none(name), rtnetlink.set_link(name, up=True)])

    def declare(self, text: str) -> None:
        """Another version of the site file."""
        self.site = parse(text.encode(), "site.yaml")

    @property
    def _host(self) -> Any:
        return next(iter(self.site.hosts.values()))

    def look(self) -> HostState:
        """What Bascule sees."""
        return look(self.site, self._host, self.room)

    def plan(self) -> Plan:
        """What is to do now."""
        return make_plan(self.site, self._host, self.look())[0]

    def apply(self) -> Plan:
        """Plan, execute, and see that nothing is left to do."""
        plan = self.plan()
        execute(plan, where=LiveHost(self.room))
        left = self.plan()
        assert not left, [(change.subject, change.action) for change in left.changes]
        links.wait_until_running({self.room: [name for name in self.cables if links.is_up(self.room, name)]})
        return plan

    def undo(self, before: HostState) -> None:
        """Take back, and see that nothing differs."""
        made = self.look()
        change = ThreeWay(before=before, wanted=made, now=made, applied=made)
        assert roll_back(change, self.look, where=LiveHost(self.room)).ok

    def ip(self, words: str) -> str:
        """Run ``ip`` on the host."""
        return self.lab.ip(self.room, words)

    def link(self, name: str) -> dict[str, Any]:
        """What ``ip`` says about a link."""
        (found,) = json.loads(self.ip(f"-j -d link show dev {name}"))
        return dict(found)

    def info(self, name: str) -> dict[str, Any]:
        """The options of a link's kind."""
        return dict(self.link(name)["linkinfo"]["info_data"])

    def vlans(self, name: str) -> str:
        """The VLANs of a port as ``bridge`` says them: VIDs in order, P for the PVID, u for untagged."""
        entries = json.loads(run(("bridge", "-j", "vlan", "show"), namespace=self.room).stdout)
        marks = {"PVID": "P", "Egress Untagged": "u"}
        for entry in entries:
            if entry.get("ifname") == name:
                return " ".join(
                    str(vlan["vlan"]) + "".join(marks[flag] for flag in vlan.get("flags", ()))
                    for vlan in entry["vlans"]
                )
        return ""

    def facts(self) -> Any:
        """Everything that a change may have moved, without a line of Bascule's own."""
        found = {}
        for link in json.loads(self.ip("-j -d addr show")):
            addresses = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"]
            facts = ("UP" in link["flags"], link.get("master"), link["address"], link["mtu"], link.get("ifalias"))
            found[link["ifname"]] = (*facts, link.get("inet6_addr_gen_mode"), sorted(addresses))
        vlans = {name: self.vlans(name) for name in found}
        routes = [line for six in ("-4", "-6") for line in self.ip(f"{six} route show").splitlines()]
        return found, vlans, sorted(line for line in routes if not line.startswith("fe80:"))

    # ---- frames

    def send(self, name: str, number: int, *, vid: int | None = None) -> None:
        """A broadcast with a number, from the far end of a link of the host; ``vid`` puts a tag on it."""
        tag = struct.pack("!HH", 0x8100, vid) if vid is not None else b""
        frame = BROADCAST + bytes((2, 0, 0, 0, 1, number)) + tag + struct.pack("!HB", ETHERTYPE, number) + bytes(60)
        with self.cables[name].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as door:
            door.bind((name, 0))
            door.send(frame)

    def heard(self, sender: str, *, vid: int | None = None) -> dict[str, int | None]:
        """Where a frame comes out, as link → its tag there (None without one): only for far ends that hear it."""
        return self.heard_all((sender, vid))[0]

    def heard_all(self, *sent: tuple[str, int | None]) -> list[dict[str, int | None]]:
        """The same for many frames, each by its sender and its tag, within one time of listening."""
        doors = {_door(room, name): name for name, room in self.cables.items()}
        found: list[dict[str, int | None]] = [{} for _ in sent]
        try:
            first = self.numbers
            self.numbers = (first + len(sent)) % 200
            for number, (sender, vid) in enumerate(sent, first):
                self.send(sender, number, vid=vid)
            end = time.monotonic() + SILENCE_S  # after the last of them: who hears a hundred of them is busy
            while (left := end - time.monotonic()) > 0:
                for door in select.select(list(doors), [], [], left)[0]:
                    seen = _receive(door)
                    if seen is not None and 0 <= seen[0] - first < len(sent):
                        found[seen[0] - first][doors[door]] = seen[1]
                        end = time.monotonic() + SILENCE_S
        finally:
            for door in doors:
                door.close()
        return found


def _door(room: Namespace, name: str) -> socket.socket:
    with room.entered():
        door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        door.bind((name, 0x0003))
    door.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return door


def _receive(door: socket.socket) -> tuple[int, int | None] | None:
    """The number and the tag of one of our own frames; None for what we send ourselves and for anybody else's."""
    try:
        data, extra, _, address = door.recvmsg(2000, 64)
    except OSError:  # said once to whoever listens on a link that went down
        return None
    while data[12:14] == b"\x81\x00":  # a tag behind the outer one, which the kernel has taken off
        data = data[:12] + data[16:]
    if address[2] == OUTGOING or data[12:14] != struct.pack("!H", ETHERTYPE):
        return None
    for level, kind, content in extra:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", content[:20])
            return data[14], int(tci & 0xFFF) if status & VLAN_VALID else None
    return data[14], None
