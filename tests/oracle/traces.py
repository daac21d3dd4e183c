"""Which rules a packet met, by ``nft monitor trace``, beside those that the model says."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence

from bascule.topology.trace.answer import Certainty, Reachability
from tests.oracle.asking import Probe, Seen, ask
from tests.oracle.lab import GUESTS, Room, batch, in_namespace, load

Met = tuple[str, str, str, int]

WATCH = """
table bridge zz {
chain pre {
type filter hook prerouting priority -500
meta nftrace set 1
}
}
table inet zz {
chain pre {
type filter hook prerouting priority -500
meta nftrace set 1
}
chain out {
type filter hook output priority -500
meta nftrace set 1
}
}
"""
LINE = re.compile(r"trace id (\w+) (\w+) (\S+) (\S+) (rule|packet:|verdict|policy|unknown)(.*)")
HANDLE = re.compile(r"# handle (\d+)")


def watch(room: Room) -> None:
    """Let every packet be traced; frames go to one port only, so that no copies mix."""
    load(room, WATCH)
    for guest in GUESTS:
        if guest.bridge:
            batch(room, [f"fdb replace {guest.mac} dev {guest.port} master static"], "bridge")


def asked_with_traces(room: Room, probes: Sequence[Probe]) -> tuple[list[Seen], dict[int, list[Met]]]:
    """The probes' fate, and by the sender's port the rules that each met whole, in their order."""
    with in_namespace(room.host):
        monitor = subprocess.Popen(
            ("stdbuf", "-oL", "nft", "-a", "monitor", "trace"), stdout=subprocess.PIPE, text=True, bufsize=1
        )
    time.sleep(0.25)
    seen = ask(room, probes, 0.1)
    time.sleep(0.3)
    monitor.terminate()
    text = monitor.communicate()[0]
    ports: dict[str, int] = {}
    met: dict[int, list[Met]] = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        number, family, table, chain, kind, rest = found.groups()
        if kind == "packet:" and number not in ports:
            port = re.search(r"(?:udp|th) sport (\d+)", rest)
            ports[number] = int(port[1]) if port else 0
        elif kind == "rule" and table != "zz" and (handle := HANDLE.search(rest)):
            met.setdefault(ports.get(number, 0), []).append((family, table, chain, int(handle[1])))
    return seen, met


def told(answer: Reachability) -> list[Met] | None:
    """What the model says of the first packet, up to what stops it; None where it leaves it open."""
    first = next(leg for leg in answer.legs if leg.name == "new")
    if first.delivered not in {Certainty.YES, Certainty.NO}:
        return None
    found: list[Met] = []
    for stage in first.stages:
        stopped = {id(blocker.hit) for blocker in stage.blockers}
        for hit in stage.hits:
            early = stage.hook == "ingress" and not stage.where.startswith("br")  # before the trace begins
            if hit.chain.table != "zz" and not early and not hit.chain.is_legacy:  # nft traces its own rules alone
                found.append((hit.chain.family, hit.chain.table, hit.chain.name, hit.line.handle))
            if hit.verdict in {"drop", "reject"}:
                return found
        if stopped:
            return found
    return found
