"""A survey: 100,000 captured control frames judged, and a gigabit of data that it must not notice.

The live part needs root: iperf3 sends 1 Gbit/s in full-size packets over a cable between two namespaces to the NIC that
is surveyed, while a known number of control frames is sent on the same cable. tcpdump listens beside the survey.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from tests.survey import fuzz
from tests.survey.frames import arp, bpdu, dhcp_offer, lldp
from tests.survey.samples import SAMPLES

from bascule.system.net.netns import Namespace
from bascule.system.run import run as run_tool
from benchmarks.makers import BASCULE
from benchmarks.measure import Findings, Row, Run, Usage, process, ratio, tool

FRAMES = 100_000
NICS = 5
STORM = 400_000  # frames
ASKS, ASKED = bytes((10, 251, 252, 253)), bytes((10, 253, 252, 251))  # addresses that stand nowhere else in a frame
SITE = (
    """site: bench
networks:
"""
    + "".join(f"  n{i}: {{subnet: 10.{i}.0.0/16, gateway: 10.{i}.0.1, vlan: {i + 2}}}\n" for i in range(NICS))
    + """hosts:
  h:
    nics:
"""
    + "".join(f"      eth{i}: {{network: n{i}}}\n" for i in range(NICS))
)


def run(*, quick: bool) -> Findings:
    rows = [*_judged(quick=quick), *_storm(quick=quick)]
    try:
        if os.geteuid() != 0:
            raise LookupError("the live part needs root for its namespaces")
        for name in ("iperf3", "tcpdump", "ethtool"):
            tool(name)
        return Findings(rows=rows + _live(10 if quick else 30))
    except LookupError as why:
        return Findings(rows=rows, left_out={"survey of a live wire": str(why)})


def _judged(*, quick: bool) -> list[Row]:
    """Every frame is another, which a real capture's are not: no frame is decoded for free."""
    chance = random.Random(1)
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    with tempfile.TemporaryDirectory() as folder:
        words = ["--site", f"{folder}/site.yaml"]
        Path(folder, "site.yaml").write_text(SITE)
        for nic in range(NICS):
            path = Path(folder, f"eth{nic}.pcap")
            frames = [_any_frame(chance, nic, number) for number in range(FRAMES // NICS)]
            path.write_bytes(head + b"".join(struct.pack("<IIII", 1, 0, len(f), len(f)) + f for f in frames))
            words += ["--pcap", f"eth{nic}={path}"]
        argv = (*BASCULE, "survey", "--json", *words)
        runs: list[Run] = []
        prints: list[Run] = []
        for _ in range(1 if quick else 5):
            runs.append(process(argv, ok=(0, 1)))
            with contextlib.suppress(LookupError):
                prints.append(_printed([f"{folder}/eth{nic}.pcap" for nic in range(NICS)]))
    ours = Usage.of(runs)
    name = f"judge {FRAMES:,} different control frames of {NICS} NICs"
    if not prints:
        return [Row(name, ours, "", ours.wall_s.median, "s", float("inf"), note="without tcpdump, no comparison")]
    peer = Usage.of(prints)
    return [Row(f"{name}, by tcpdump -vv printing them", ours, peer, ratio(ours, peer), "×", 6.0)]


def _storm(*, quick: bool) -> list[Row]:
    """Every frame from another made-up MAC: nothing is counted twice.

    The addresses are few. Where they are made up as well, tcpdump needs a minute for its table of them.
    """
    chance, frame = random.Random(2), bytearray(arp("10.0.0.1", "10.0.0.2"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "eth4.pcap")
        with path.open("wb") as out:
            out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for number in range(STORM):
                frame[6:12] = frame[22:28] = b"\x02" + chance.randbytes(5)
                frame[31] = number % 250
                out.write(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame)
        runs: list[Run] = []
        prints: list[Run] = []
        for _ in range(1 if quick else 5):
            runs.append(process((*BASCULE, "survey", "--json", "--pcap", f"eth4={path}")))
            with contextlib.suppress(LookupError):
                prints.append(_printed([str(path)]))
    name = f"judge a forged ARP storm of {STORM:,} frames"
    ours = Usage.of(runs)
    if not prints:
        return [Row(name, ours, "", ours.wall_s.median, "s", float("inf"), note="without tcpdump, no comparison")]
    peer = Usage.of(prints)
    return [Row(f"{name}, by tcpdump -vv printing it", ours, peer, ratio(ours, peer), "×", 10.0)]


def _printed(captures: Sequence[str]) -> Run:
    """One after the other, as tcpdump takes them."""
    each = [process(("tcpdump", "-nn", "-vv", "-r", path)) for path in captures]
    return Run(sum(run.wall_s for run in each), sum(run.cpu_s for run in each), max(run.peak_mib for run in each))


@cache
def _question(vid: int) -> bytes:
    """An ARP question to fill in: scapy would take longer for 50,000 than we do for judging them."""
    return arp(str(ip_address(ASKS)), str(ip_address(ASKED)), tags=(vid,))


def _any_frame(chance: random.Random, nic: int, number: int) -> bytes:
    """Half are ARP of 2,000 hosts; the others every protocol in turn, with a byte changed behind the headers."""
    if number % 2:
        host = chance.randrange(2000)
        frame = _question(nic + 2).replace(ASKS, bytes((10, nic, host >> 8, host & 255)))
        frame = frame.replace(ASKED, bytes((10, nic, chance.randrange(8), chance.randrange(256))))
        return frame[:6] + bytes.fromhex("00163e00") + host.to_bytes(2, "big") + frame[12:]
    sound = SAMPLES[number // 2 % len(SAMPLES)].frame
    return fuzz.damaged(sound, chance) if number % 5 == 0 else sound + number.to_bytes(3, "big")


def _live(seconds: int) -> list[Row]:
    control = [bpdu(), lldp(), arp("10.99.0.9", "10.99.0.1"), dhcp_offer()]
    sent = 250 * seconds
    with _cable() as (host, wire), contextlib.ExitStack() as stack:
        with host.entered():
            server = subprocess.Popen(("iperf3", "-s", "-1", "-B", "10.1.0.2"), stdout=subprocess.DEVNULL)
        stack.callback(server.kill)
        dump = Path(stack.enter_context(tempfile.TemporaryDirectory()), "control.pcap")
        expression = "ether proto 0x88cc or ether[0:4] = 0x0180c200 or (arp and src host 10.99.0.9) or udp port 68"
        with host.entered():
            peer = subprocess.Popen(
                ("tcpdump", "-Z", "root", "-Q", "in", "-B", "16384", "-i", "eth0", "-w", str(dump), expression),
                stderr=subprocess.DEVNULL,
            )
            survey = subprocess.Popen(
                (sys.executable, "-m", "bascule", "survey", "eth0", "--json", "--seconds", str(seconds + 4)),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        stack.callback(peer.kill)
        until = time.monotonic() + 20
        while "promiscuity 2" not in run_tool(("ip", "-d", "link", "show", "eth0"), namespace=host).stdout:
            if time.monotonic() > until:
                raise LookupError("tcpdump or the survey did not begin to listen")
            time.sleep(0.05)
        started, before = time.perf_counter(), _cpu(survey.pid)
        with wire.entered():
            client = subprocess.Popen(
                ("iperf3", "-c", "10.1.0.2", "-b", "1G", "-t", str(seconds), "-J"), stdout=subprocess.PIPE, text=True
            )
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            raw.bind(("wire", 0))
        with raw:
            for number in range(sent):
                raw.send(control[number % len(control)])
                time.sleep(max(0.0, started + number * seconds / sent - time.perf_counter()))
        report = json.loads(client.communicate()[0])
        spent, lasted = _cpu(survey.pid) - before, time.perf_counter() - started
        found = json.loads(survey.communicate()[0])["nics"]["eth0"]
        peer.terminate()
        peer.wait()
        gigabits = report["end"]["sum_received"]["bits_per_second"] / 1e9
        lines = {line["kind"]: line["frames"] for line in found["evidence"]}
        dumped = _count(dump.read_bytes())
    heard = sum(lines[kind] for kind in ("lldp", "stp", "dhcp")) + _arp(found)
    note = f"beside {gigabits:.2f} Gbit/s, {sent} control frames"
    return [
        Row(
            "CPU of a survey while listening",
            f"{spent:.2f} s",
            f"{lasted:.0f} s",
            100 * spent / lasted,
            "% of a core",
            5.0,
            note=note,
        ),
        Row(
            "control frames heard by those tcpdump heard",
            str(heard),
            str(dumped),
            heard / max(dumped, 1),
            "×",
            1.0,
            at_most=False,
            note=f"{sent} were sent",
        ),
    ]


def _arp(found: dict[str, list[dict[str, object]]]) -> int:
    """The ARP frames of the one sender that the benchmark plays, without those that iperf's own hosts send."""
    return sum(int(str(line["frames"])) for line in found["evidence"] if "10.99.0.9" in str(line["detail"]))


def _cpu(pid: int) -> float:
    """User and system seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count(data: bytes) -> int:
    from bascule.frames.pcap import Capture

    return sum(1 for _ in Capture(data).frames())


@contextlib.contextmanager
def _cable() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces and a cable that carries packets of 1500 bytes, as a wire does."""
    with Namespace.new("host") as host, Namespace.new("wire") as wire:
        cable = f"ip link add eth0 type veth peer name wire netns /proc/{os.getpid()}/fd/{wire.fd}"
        run_tool(cable.split(), namespace=host)
        for space, link, ip in ((host, "eth0", "10.1.0.2/16"), (wire, "wire", "10.1.0.3/16")):
            run_tool(("ethtool", "-K", link, "tso", "off", "gso", "off", "gro", "off"), namespace=space, check=False)
            run_tool(("ip", "addr", "add", ip, "dev", link), namespace=space)
            run_tool(("ip", "link", "set", link, "addrgenmode", "none", "up"), namespace=space)
        yield host, wire
