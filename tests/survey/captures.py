"""Captures to try the survey on, made of the frames that a building with one Cisco switch sends.

``make captures`` writes them into ``var/captures``; the how-to judges them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from bascule.system.disk.durable import write_whole
from tests.survey.frames import HSRP, UDP, arp, cdp, dhcp_offer, ip_frame, lldp, pvst
from tests.survey.hearing import many

FOLDER = Path(__file__).parents[2] / "var/captures"
SECONDS = 30
START = 1_760_000_000  # a Thursday in October 2025
HELLO_S = 2  # the spanning tree's

IOS = "Cisco IOS Software [Cupertino], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 17.9.5"
INTERNAL = (
    *many("192.168.1", 6, "192.168.1.1", first=50, oui="3c:ec:ef:00"),
    arp("192.168.1.1", "192.168.1.52", mac="00:1b:54:aa:bb:99"),
)
INTERNET = many("129.230.200", 5, "129.230.0.1", oui="3c:ec:ef:00")
NAMES = {10: "inside", 30: "outside"}
QUIET = many("192.168.1", 2, "192.168.1.1", first=77, oui="3c:ec:ef:00")


def port(number: int, vlan: int) -> Sequence[bytes]:
    """What an access port says: the spanning tree every two seconds, LLDP once, CDP once."""
    name = f"GigabitEthernet1/0/{number}"
    tree = pvst(vlan, rapid=True, port=number)
    return [
        lldp("sw1", f"Gi1/0/{number}", pvid=vlan, vlan_name=NAMES[vlan], describes=IOS),
        cdp("sw1.example.net", name, native=vlan, voice=None, platform="cisco C9300-48T"),
        *[tree] * (SECONDS // HELLO_S),
    ]


def hsrp(router: str, gateway: str) -> Sequence[bytes]:
    """A router of two that keeps up the gateway, every three seconds."""
    hello = UDP(sport=1985, dport=1985) / HSRP(group=30, virtualIP=gateway)
    return [ip_frame(hello, src=router, dst="224.0.0.2")] * (SECONDS // 3)


WIRES: Mapping[str, Sequence[bytes]] = {
    "eth2": [*port(2, 10), *INTERNAL, *INTERNAL, dhcp_offer()],
    "eth3": [*port(3, 30), *INTERNET, *INTERNET, *hsrp("129.230.0.2", "129.230.0.1")],
    "eth4": [*port(5, 30), *INTERNET[1:], *INTERNET, *hsrp("129.230.0.2", "129.230.0.1")],
    "eth5": QUIET,
}


def capture(frames: Sequence[bytes]) -> bytes:
    """A pcap of half a minute."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, frame in enumerate(frames):
        seconds, rest = divmod(number * SECONDS * 1_000_000 // len(frames), 1_000_000)
        data += struct.pack("<IIII", START + seconds, rest, len(frame), len(frame)) + frame
    return data


def write() -> None:
    """Put them where the how-to looks for them; two at once write the same."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for nic, frames in WIRES.items():
        write_whole(FOLDER / f"{nic}.pcap", capture(frames), mode=0o644)


if __name__ == "__main__":
    write()
