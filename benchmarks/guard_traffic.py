"""Traffic through guards: TCP between two guests, and frames while the table is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import time

from msgspec import Struct
from tests.guards.segment import PARTIES, Segment
from tests.lab import Lab, open_lab

from bascule.frames.guarding import build as b
from bascule.system.net.netns import Namespace
from bascule.system.run import run

ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router
SECONDS = 1


class Swapped(Struct, frozen=True):
    """Pairs of frames that were sent, hostile ones that got through, and legitimate ones that did not."""

    sent: int
    leaked: int
    lost: int


def swapped(bridge: Segment, text: str, times: int) -> Swapped:
    """Replace the table so many times, while a guest sends one hostile and one legitimate frame after the other."""
    spoofed = b.arp(ME.raw, 2, ME.raw, ROUTER.ip4, OTHER.ip4)
    own = b.arp(ME.raw, 2, ME.raw, ME.ip4, OTHER.ip4, dst=OTHER.raw, target=OTHER.raw)
    run(("nft", "-f", "-"), stdin=text, namespace=bridge.host)
    bridge.greet()
    sent = leaked = arrived = 0

    def count() -> None:
        nonlocal leaked, arrived
        got = bridge.drain()
        leaked += sum(frame == spoofed for frames in got.values() for frame in frames)
        arrived += got["db.0"].count(own)

    for _ in range(times):
        with bridge.host.entered():
            swap = subprocess.Popen(["nft", "-f", "-"], stdin=subprocess.PIPE, text=True)
        assert swap.stdin is not None
        swap.stdin.write(text)
        swap.stdin.close()
        while swap.poll() is None:
            os.write(bridge.taps["web.0"], spoofed)
            os.write(bridge.taps["web.0"], own)
            sent += 1
            count()
        assert swap.returncode == 0
        time.sleep(0.02)  # a busy kernel passes frames on a little later
        count()
    return Swapped(sent, leaked, sent - arrived)


def throughput(text: str, rounds: int) -> list[tuple[float, float]]:
    """Bits in a second between two guests, without the table and with it, in turn."""
    with open_lab() as lab:
        sides = [_wired(lab, name) for name in ("bare", "guarded")]
        run(("nft", "-f", "-"), stdin=text, namespace=sides[1][0])
        found = []
        for turn in range(rounds):
            took = {at: _sent(*sides[at][1:]) for at in ((0, 1) if turn % 2 else (1, 0))}
            found.append((took[0], took[1]))
    return found


def _wired(lab: Lab, name: str) -> tuple[Namespace, Namespace, Namespace]:
    """A bridge with web and db as namespaces."""
    host, web, db = (lab.namespace(f"{name}-{who}") for who in ("host", "web", "db"))
    lab.ip(host, "link add br0 type bridge mcast_snooping 0")
    lab.ip(host, "link set br0 up")
    for end, port, party in ((web, "web.0", ME), (db, "db.0", OTHER)):
        lab.ip(host, f"link add {port} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{end.fd}")
        lab.ip(end, f"link set eth0 address {party.mac} up")
        lab.ip(end, f"addr add {party.ip4}/24 dev eth0")
        lab.ip(host, f"link set {port} master br0 up")
    return host, web, db


def _sent(web: Namespace, db: Namespace) -> float:
    with db.entered():
        server = subprocess.Popen(("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    told = json.loads(run(("iperf3", "-c", str(OTHER.ip4), "-t", str(SECONDS), "-J"), namespace=web).stdout)
    server.wait()
    return float(told["end"]["sum_received"]["bits_per_second"])
