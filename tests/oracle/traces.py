"""Which rules a packet met, by ``nft monitor trace``, beside those that the model says."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bascule.topology.trace.answer import Certainty, Reachability
from tests.oracle.asking import LATE_S, Probe, Seen, ask
from tests.oracle.lab import GUESTS, Room, batch, in_namespace, load
from tests.patience import wait_until

Met = tuple[str, str, str, int]
NETFILTER = 12  # linux/netlink.h

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
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe would hold it up when it is full
    with in_namespace(room.host):
        monitor = subprocess.Popen(("stdbuf", "-oL", "nft", "-a", "monitor", "trace"), stdout=said, text=True)
    wait_until(lambda: _unread(monitor) is not None, 5, "nft to listen")
    seen = ask(room, probes, LATE_S)
    wait_until(lambda: _unread(monitor) == 0 and _sleeps(monitor), 5, "nft to say it all")
    monitor.terminate()
    monitor.wait()
    with said:
        said.seek(0)
        text = said.read()
    ports: dict[str, int] = {}
    met: dict[int, list[Met]] = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        number, family, table, chain, kind, rest = found.groups()
        if kind == "packet:" and not ports.get(number):  # a later fragment has none until it is put together again
            port = re.search(r"(?:udp|th) sport (\d+)", rest)
            ports[number] = int(port[1]) if port else 0
        elif kind == "rule" and table != "zz" and (handle := HANDLE.search(rest)):
            met.setdefault(ports.get(number, 0), []).append((family, table, chain, int(handle[1])))
    return seen, met


def _unread(monitor: subprocess.Popen[str]) -> int | None:
    """How many bytes wait for whoever listens to traces; None where nobody does yet (/proc/net/netlink)."""
    for row in Path(f"/proc/{monitor.pid}/net/netlink").read_text().splitlines()[1:]:
        _, family, _, groups, waiting, *_ = row.split()
        if int(family) == NETFILTER and int(groups, 16):
            return int(waiting)
    return None


def _sleeps(monitor: subprocess.Popen[str]) -> bool:
    """Whether it waits, and has written what it has read."""
    return Path(f"/proc/{monitor.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


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
