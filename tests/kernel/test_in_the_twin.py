"""What a plan does to the wires, seen from the machines of a twin."""

from __future__ import annotations

import os
import select
import socket
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bascule.apply.engine import execute
from bascule.apply.prepare import look
from bascule.frames.codecs import arp, ethernet
from bascule.frames.packet import read_frame
from bascule.host.live import LiveHost
from bascule.model.values import Mac
from bascule.plan.make import make_plan
from bascule.site import parse
from bascule.system.process.sandbox import sandboxed
from bascule.twin import Twin
from bascule.workflow import rehearse
from tests.patience import patient

EXAMPLES = Path(__file__).parents[2] / "examples"


def who_answers(text: bytes, asker: str, address: str) -> tuple[set[Mac | None], Mac | None]:
    """All MACs that answer one broadcast ARP request, and the MAC of the host's eth2."""
    site = parse(text, "site.yaml")
    host = site.hosts["vmserver"]
    with Twin.raise_(site) as twin:
        room = twin.host("vmserver")
        execute(make_plan(site, host, look(site, host, room))[0], where=LiveHost(room))
        twin.plug_guests()
        twin.start_guests()
        attachment = twin.probe_domain().attachments[asker][0]
        with attachment.namespace.entered():
            door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethernet.ARP))
            door.bind((attachment.link, ethernet.ARP))
        own = IPv4Address(str(attachment.addresses[0].ip))
        request = arp.build(arp.REQUEST, ethernet.mac_bytes(attachment.mac), own, IPv4Address(address))
        heard: set[Mac | None] = set()
        end = time.monotonic() + patient(1)
        while not heard and time.monotonic() < end:
            door.send(request)
            while select.select([door], [], [], 0.5)[0]:  # others have as long after each frame
                frame = read_frame(door.recv(2000))
                if frame and frame.arp and frame.arp.operation == arp.REPLY:
                    heard.add(frame.src)
        door.close()
        return heard, look(site, host, room).links[host.nics["eth2"].name].mac  # type: ignore[index]


def test_the_guests_bridge_does_not_answer_for_the_hosts_own_nic() -> None:
    """eth2 and br3 stand on one network: Linux would answer for eth2's address on both (ARP flux)."""
    if os.geteuid() != 0:
        pytest.skip("making the twin by hand needs root")
    heard, eth2 = sandboxed(who_answers, (EXAMPLES / "production.yaml").read_bytes(), "desk", "192.168.1.10")
    assert heard == {eth2}


def test_a_service_of_the_host_is_played(tmp_path: Path) -> None:
    text = (EXAMPLES / "production.yaml").read_text().replace("    memory: 64GiB\n", "    serves: [tcp/22]\n")
    text += "  - {from: desk, to: vmserver, service: tcp/22, verdict: reach}\n"
    text += "  - {from: guest_01, to: desk, verdict: no-reach}\n"
    file = tmp_path / "site.yaml"
    file.write_text(text)
    seen = rehearse(str(file))
    assert [outcome.ok for outcome in seen.outcomes] == [True] * 8
