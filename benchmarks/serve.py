"""The live picture of 200 ports with traffic on all: what the server costs, against a shell that looks each second.

The peer is what an administrator would otherwise leave running in a terminal: ``ip -s link`` and ``bridge fdb`` once a
second. The server must stay under 5 % of one core with a browser connected, counters at 1 Hz.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bascule.system.net.netns import Namespace
from bascule.system.run import run as tool
from benchmarks.measure import Row

PORTS = 200
LIMIT = 5.0  # per cent of a core
FRAMES_PER_S = 50


def run(*, quick: bool) -> list[Row]:
    if os.geteuid() != 0:
        raise LookupError("needs root for its namespaces")
    if importlib.util.find_spec("uvicorn") is None:
        raise LookupError("needs the extra [web]")
    seconds = 5.0 if quick else 15.0
    with Namespace.new("bench") as room:
        _furnish(room)
        with _traffic(room), _served(room) as ours, _shell(room) as peer:
            time.sleep(3)
            before, start = (_cpu(ours), _cpu(peer)), time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - start
            ours_share, peer_share = (100 * (_cpu(p) - b) / passed for p, b in zip((ours, peer), before, strict=True))
    return [
        Row(
            name=f"bascule serve, {PORTS} ports with traffic, one browser, 1 Hz",
            ours=f"{ours_share:.1f} % of a core",
            peer=f"ip -s link, bridge fdb each second: {peer_share:.1f} %",
            value=ours_share,
            unit="% of a core",
            limit=LIMIT,
        )
    ]


def _furnish(room: Namespace) -> None:
    lines = ["link set lo up", "link add br1 type bridge forward_delay 0", "link set br1 up"]
    for i in range(PORTS):
        lines += [f"link add vnet{i} type veth peer name guest{i}", f"link set vnet{i} master br1 up"]
        lines.append(f"link set guest{i} up")
    tool(("ip", "-batch", "-"), namespace=room, stdin="\n".join(lines) + "\n")


@contextlib.contextmanager
def _traffic(room: Namespace) -> Iterator[None]:
    """Broadcasts, each from the next guest, that the bridge floods to all ports."""
    ended = threading.Event()

    def send() -> None:
        with room.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            number = 0
            while not ended.wait(1 / FRAMES_PER_S):
                number = (number + 1) % PORTS
                frame = b"\xff" * 6 + bytes((2, 0, 0, 0, number, 7)) + b"\x88\xb5" + bytes(100)
                with contextlib.suppress(OSError):  # a busy machine's queue is full now and then
                    sock.sendto(frame, (f"guest{number}", 0))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _served(room: Namespace) -> Iterator[int]:
    """The server with one client that reads all; its process id."""
    argv = (sys.executable, "-m", "bascule", "serve", "--listen", "127.0.0.1:0")
    with room.entered():
        server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline().strip().rstrip("/").rpartition(":")[2])
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with room.entered():
        client.sock = socket.create_connection(("127.0.0.1", port))
    client.request("GET", "/events")
    stream = client.getresponse()
    reader = threading.Thread(target=lambda: [None for _ in iter(stream.readline, b"")], daemon=True)
    reader.start()
    try:
        yield server.pid
    finally:
        server.terminate()
        server.communicate()
        reader.join()
        client.close()


@contextlib.contextmanager
def _shell(room: Namespace) -> Iterator[int]:
    words = "while :; do ip -s -j link >/dev/null; bridge -j fdb >/dev/null; sleep 1; done"
    with room.entered():
        shell = subprocess.Popen(("sh", "-c", words))
    try:
        yield shell.pid
    finally:
        shell.terminate()
        shell.wait()


def _cpu(pid: int) -> float:
    """Seconds of a process and of its children that have ended (proc_pid_stat(5), utime to cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps([row.as_json() for row in run(quick=True)], indent=1))
