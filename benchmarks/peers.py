"""The same bridges by everybody who can make them: ours against the tools that an administrator would pick instead.

Each peer gets the configuration that its own documentation asks for, and is measured from the command (or the start of
its daemon) until every port is on its bridge, in turn with the others, over the same cables in the same namespace.
Ours is the whole verb: reading the file, observing, checkpoint on disk, change, second look.
"""

from __future__ import annotations

import contextlib
import subprocess

from bascule.errors import BasculeError
from bascule.system.process.sandbox import sandboxed
from benchmarks.layout import PORTS, Ground, scratch
from benchmarks.makers import Bare, Floor, Libvirt, Ours, Peer
from benchmarks.managers import Ifupdown, Ifupdown2, Netplan, Networkd, NetworkManager
from benchmarks.measure import Findings, Row, Run, Usage, ratio
from benchmarks.room import unpack

BRIDGES, QUICK_BRIDGES = 50, 5
ONCE_S = 20.0  # who takes longer is measured once
DAEMONS = {NetworkManager.name, Networkd.name, Netplan.name}


def run(*, quick: bool) -> Findings:
    """Raises LookupError where namespaces or packages cannot be had."""
    unpack()
    bridges = QUICK_BRIDGES if quick else BRIDGES
    found, left_out = sandboxed(measure, bridges, 1 if quick else 3)
    what = f"{bridges} bridges with {PORTS + 1} ports"
    rows = []
    for name, usage in found.items():
        if name in {Ours.name, Bare.name}:
            continue
        with_ports = name != Libvirt.name
        words = f"{what}: {name}" if with_ports else f"{bridges} bridges without ports: net-define and net-start"
        ours = found[Ours.name if with_ports else Bare.name]
        note = "CPU without its daemon's" if name in DAEMONS or not with_ports else ""
        rows.append(Row(f"{words} by bascule apply", ours, usage, ratio(usage, ours), "×", float("inf"), note=note))
    return Findings(rows=rows, left_out=left_out)


def measure(bridges: int, rounds: int) -> tuple[dict[str, Usage], dict[str, str]]:
    """Inside a sandbox: every peer in every round, and the reasons of those that could not run."""
    found: dict[str, list[Run]] = {}
    left_out: dict[str, str] = {}
    with scratch() as folder, Ground(bridges, veth=True) as ground, contextlib.ExitStack() as stack:
        peers: list[Peer] = []
        for kind in (Ours, Floor, Ifupdown2, Ifupdown, NetworkManager, Networkd, Netplan, Bare, Libvirt):
            try:
                peers.append(stack.enter_context(kind(bridges, ground, folder / kind.__name__)))
            except (LookupError, OSError, BasculeError) as why:
                left_out[kind.name] = str(why)
        for _ in range(rounds):
            for peer in list(peers):
                try:
                    peer.prepare()
                    made = peer.go()
                    peer.see()
                    found.setdefault(peer.name, []).append(made)
                    if made.wall_s > ONCE_S:
                        peers.remove(peer)
                except (RuntimeError, OSError, subprocess.SubprocessError) as why:
                    left_out[peer.name] = str(why)
                    found.pop(peer.name, None)
                    peers.remove(peer)
                peer.clear()
    return {name: Usage.of(runs) for name, runs in found.items() if runs}, left_out
