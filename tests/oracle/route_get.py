"""The model's routing beside ``ip route get``: forwarding, martians, rp_filter, policy rules by the kernel itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from random import Random

from bascule.topology.trace.ends.wire_ends import WireEnds
from bascule.topology.trace.forwarding import HostRouting
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import Connection, Traffic, request
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.rules.values import address
from tests.oracle.lab import GUESTS, HOST4, SEGMENTS, Room, in_namespace

QUESTIONS = 24
FOREIGN = ("172.16.3.4", "192.0.2.7", "10.9.0.77")


def unlike_the_kernels_routes(room: Room, network: HostNetwork, random: Random) -> Iterator[str]:
    """Where ``ip route get`` leads elsewhere than the model."""
    asked = []
    for _ in range(QUESTIONS):
        to = random.choice([*(guest.v4 for guest in GUESTS), *HOST4, *FOREIGN])
        source = random.choice([*(guest.v4 for guest in GUESTS), *HOST4, *FOREIGN])
        asked.append((to, source, random.choice(SEGMENTS)[0], random.choice((0, 0, 1, 2, 3))))
    lines = "".join(f"route get {to} from {source} iif {link} mark {mark}\n" for to, source, link, mark in asked)
    with in_namespace(room.host):
        done = subprocess.run(
            ("ip", "-force", "-j", "-batch", "-"), input=lines, capture_output=True, text=True, check=False
        )
    kernel = _answers(done.stdout, done.stderr, len(asked))
    for (to, source, link, mark), theirs in zip(asked, kernel, strict=True):
        ours = _modelled(network, to, source, link, mark)
        if ours is not None and ours != theirs:
            asked_for = f"route get {to} from {source} iif {link} mark {mark}"
            yield f"{asked_for}: model {ours or 'refuses'}, kernel {theirs or 'refuses'}"


def _answers(told: str, failed: str, number: int) -> list[str]:
    """The link that each question leads to, ``lo`` for the host itself, empty where the kernel refuses it."""
    lost = {int(line.rsplit(":", 1)[1]) - 1 for line in failed.splitlines() if line.startswith("Command failed")}
    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(told):
        if told[place].isspace():
            place += 1
            continue
        entry, place = decoder.raw_decode(told, place)
        found.append("lo" if entry[0].get("type") == "local" else entry[0].get("dev", ""))
    answers = iter(found)
    return ["" if one in lost else next(answers) for one in range(number)]


def _modelled(network: HostNetwork, to: str, source: str, link: str, mark: int) -> str | None:
    """The same by the model; None where it leaves it open."""
    passage = PacketPath(WireEnds(network, ()), request(Traffic(), 4, address(source), address(to)), Connection())
    passage.fields["meta mark"] = mark
    hop = HostRouting(passage).inwards(link)
    if passage.unsure:
        return None
    if hop is None or any(stage.blockers for stage in passage.stages):
        return ""
    return "lo" if hop.kind == "local" else hop.link
