"""Limits of guest NICs: what passes in three seconds, by what the site file says, for TCP and UDP and both ways."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

from tests.lab import Lab, open_lab

from bascule.model.guarding import Bandwidth, rate_words
from bascule.providers.shaping.state import setting
from bascule.system.net.netns import Namespace
from bascule.system.run import run as run_tool
from benchmarks.measure import Findings, Row

RATE, SECONDS = 100_000_000, 3
# bytes of a frame for each byte that the program sees: of TCP with timestamps, and of datagrams of 1,400 bytes
FRAMES = {"TCP": 1514 / 1448, "UDP": 1442 / 1400}


def run(*, quick: bool) -> Findings:  # noqa: ARG001 - a figure is the same in a hurry
    if os.geteuid() != 0:
        return Findings(rows=(), left_out={"limits": "they need root for namespaces"})
    if shutil.which("iperf3") is None:
        return Findings(rows=(), left_out={"limits": "iperf3 is not installed"})
    with open_lab() as lab:
        guest, wire = _wired(lab)
        ways = [(protocol, way) for protocol in FRAMES for way in ("up", "down")]
        rows = tuple(_row(protocol, way, _passed(guest, wire, protocol, way)) for protocol, way in ways)
    return Findings(rows=rows)


def _wired(lab: Lab) -> tuple[Namespace, Namespace]:
    """A bridge with a guest behind a limited port, and somebody on the wire."""
    host, guest, wire = (lab.namespace(name) for name in ("host", "guest", "wire"))
    lab.ip(host, "link add br0 type bridge")
    lab.ip(host, "link set br0 up")
    for end, port, number in ((guest, "g.0", 1), (wire, "w.0", 2)):
        lab.ip(host, f"link add {port} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{end.fd}")
        lab.ip(end, f"addr add 10.0.0.{number}/24 dev eth0")
        lab.ip(end, "link set eth0 up")
        lab.ip(host, f"link set {port} master br0 up")
    for words in setting("g.0", Bandwidth(up=RATE, down=RATE)):
        run_tool(words, namespace=host)
    return guest, wire


def _passed(guest: Namespace, wire: Namespace, protocol: str, way: str) -> float:
    """Bits of whole frames in a second, at the receiver."""
    with wire.entered():
        server = subprocess.Popen(("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    words = ["iperf3", "-c", "10.0.0.2", "-t", str(SECONDS), "-J"]
    words += ["-R"] if way == "down" else []
    words += ["-u", "-b", str(RATE * 13 // 10), "-l", "1400"] if protocol == "UDP" else []
    told = json.loads(run_tool(words, namespace=guest).stdout)["end"]
    server.wait()
    if protocol == "TCP":
        return float(told["sum_received"]["bits_per_second"]) * FRAMES[protocol]
    sums = told["sum"]
    arrived = 1 - sums["lost_packets"] / sums["packets"]
    return float(sums["bits_per_second"]) * float(arrived) * FRAMES[protocol]


def _row(protocol: str, way: str, passed: float) -> Row:
    value = abs(passed / RATE - 1) * 100
    return Row(
        name=f"{protocol} {way}, limited to {rate_words(RATE)}, for {SECONDS} s",
        ours=f"{passed / 1e6:.1f} Mbit/s",
        peer=rate_words(RATE),
        value=value,
        unit="% off",
        limit=5,
        at_most=True,
    )
