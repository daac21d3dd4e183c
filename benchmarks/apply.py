"""Changing a host: ``bascule apply`` against the bare batch and against ifupdown2, and what a running ping notices."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bascule.system.netns import Namespace
from benchmarks.measure import Row, Run, process, wall

BASCULE = (sys.executable, "-m", "bascule")
TUNSETIFF, TUNSETPERSIST, TAP = 0x400454CA, 0x400454CB, 0x1002  # linux/if_tun.h: IFF_TAP | IFF_NO_PI
TAPS = 5
RUN_NETWORK = Path("/run/network")  # ifupdown2 keeps its lock there


def run(*, quick: bool) -> list[Row]:
    if os.geteuid() != 0:
        raise LookupError("network namespaces with taps need root")
    return [*_two_hundred(3 if quick else 5, peers=not quick), *([] if quick else _thousand()), *_gap()]


@contextlib.contextmanager
def layout(bridges: int) -> Iterator[tuple[Namespace, Path]]:
    """A host with as many NICs, five taps for each, and the site file that bridges them."""
    with Namespace.new("bench") as host, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cables = "".join(f"link add n{i} type veth peer name p{i}\nlink set p{i} up\n" for i in range(bridges))
        with host.entered():
            subprocess.run(("ip", "-batch", "-"), input=cables + "link set lo up\n", text=True, check=True)
            for i in range(bridges):
                for j in range(TAPS):
                    tap(f"t{i}x{j}")
        (folder / "site.yaml").write_text(site(bridges))
        os.environ["BASCULE_STATE_DIR"] = str(folder / "state")
        yield host, folder


def tap(name: str) -> None:
    """One that stays without a process: five thousand descriptors are more than a process may have."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP))
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def site(bridges: int) -> str:
    each = range(bridges)
    lines = ["site: bench", "networks:", "  lan: {subnet: 10.0.0.0/8}", "hosts:", "  h:", "    nics:"]
    lines += [f"      n{i}: {{network: lan}}" for i in each]
    lines += ["    bridges:", *(f"      b{i}: {{uplink: n{i}}}" for i in each), "guests:"]
    lines += [
        f"  g{i}x{j}: {{host: h, memory: 64MiB, nics: [{{bridge: b{i}, tap: t{i}x{j}}}]}}"
        for i in each
        for j in range(TAPS)
    ]
    return "\n".join(lines) + "\n"


def _two_hundred(runs: int, *, peers: bool) -> list[Row]:
    with layout(200) as (host, folder), host.entered():
        file = str(folder / "site.yaml")
        commands = subprocess.run((*BASCULE, "plan", file, "--commands"), capture_output=True, text=True).stdout
        batch, sysctls = "", ""
        for line in commands.splitlines(keepends=True):
            if line.startswith("ip "):
                batch += line.removeprefix("ip ")
            else:
                sysctls += line.removeprefix("sysctl -q -w ")
        (folder / "sysctls").write_text(sysctls.replace("/", "."))

        def by_hand() -> Run:
            first = process(("ip", "-batch", "-"), stdin=batch.encode())
            if not sysctls:
                return first
            second = process(("sysctl", "-q", "-p", str(folder / "sysctls")))
            return Run(first.wall_s + second.wall_s, first.cpu_s + second.cpu_s, first.peak_mib)

        apply, peer, idle, undo = [], [], [], []
        for _ in range(runs):
            apply.append(process((*BASCULE, "apply", file, "--yes", "--no-confirm")))
            idle.append(process((*BASCULE, "plan", file)))
            undo.append(process((*BASCULE, "undo")))
            peer.append(by_hand())
            clear = "".join(f"link set b{i} group 4711\n" for i in range(200)) + "link del group 4711\n"
            subprocess.run(("ip", "-batch", "-"), input=clear, text=True, check=True)
    rows = [
        Row("apply 200 bridges, 1,000 taps by (2 × the bare batch + 0.3 s)", wall(apply), wall(peer),
            middle(apply) / (2 * middle(peer) + 0.3), "×", 1.0),
        Row("a plan with nothing to do, 200 bridges", wall(idle), "—", middle(idle), "s", 0.4),
        Row("undo by apply, 200 bridges", wall(undo), wall(apply), middle(undo) / middle(apply), "×", 1.5),
    ]  # fmt: skip
    return rows + (_ifupdown2(middle(apply)) if peers else [])


def middle(runs: list[Run]) -> float:
    return statistics.median(run.wall_s for run in runs)


def _ifupdown2(ours_s: float) -> list[Row]:
    """The same layout in its own words; once, because it takes its time."""
    if shutil.which("ifup") is None or not Path("/usr/share/ifupdown2").is_dir():
        print("ifupdown2 is not here (apt-get install ifupdown2): not compared", file=sys.stderr)
        return []
    RUN_NETWORK.mkdir(exist_ok=True)
    with layout(200) as (host, folder), host.entered():
        stanzas = "".join(
            f"auto b{i}\niface b{i}\n  bridge-ports n{i} {' '.join(f't{i}x{j}' for j in range(TAPS))}\n"
            f"  bridge-stp off\n  bridge-fd 0\n" for i in range(200)
        )  # fmt: skip
        (folder / "interfaces").write_text(stanzas)
        peer = process(("ifup", "-a", "-i", str(folder / "interfaces")), ok=(0, 1))
        made = subprocess.run(("ip", "-br", "link", "show", "type", "bridge"), capture_output=True, text=True).stdout
        if len(made.splitlines()) != 200:
            raise LookupError(f"ifup made {len(made.splitlines())} bridges of 200")
    return [
        Row(
            "ifup -a of ifupdown2 by apply, 200 bridges", f"{ours_s:.3f} s", wall([peer]), peer.wall_s / ours_s, "×",
            15.0, at_most=False,
        )
    ]  # fmt: skip


def _thousand() -> list[Row]:
    with layout(1000) as (host, folder), host.entered():
        file = str(folder / "site.yaml")
        process((*BASCULE, "apply", file, "--yes", "--no-confirm"))
        idle = [process((*BASCULE, "plan", file)) for _ in range(3)]
    peak = max(run.peak_mib for run in idle)
    return [
        Row("a plan with nothing to do, 1,000 bridges, 5,000 taps", wall(idle), "—", middle(idle), "s", 2.0),
        Row("its memory", f"{peak:.0f} MiB", "—", peak, "MiB", 250.0),
    ]


def _gap() -> list[Row]:
    """A ping every 5 ms while the host's own address moves under a bridge and back."""
    with Namespace.new("host") as host, Namespace.new("wire") as wire, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BASCULE_STATE_DIR"] = str(folder / "state")
        with host.entered():
            cable = "link set lo up\nlink add eth0 type veth peer name w0\naddr add 10.0.0.5/24 dev eth0\n"
            subprocess.run(("ip", "-batch", "-"), input=cable, text=True, check=True)
            subprocess.run(("ip", "link", "set", "w0", "netns", f"/proc/{os.getpid()}/fd/{wire.fd}"), check=True)
            subprocess.run(("ip", "link", "set", "eth0", "up"), check=True)
        with wire.entered():
            subprocess.run(("ip", "link", "set", "w0", "up"), check=True)
            subprocess.run(("ip", "addr", "add", "10.0.0.1/24", "dev", "w0"), check=True)
        (folder / "site.yaml").write_text(
            "site: gap\nnetworks: {lan: {subnet: 10.0.0.0/24}}\nhosts:\n  h:\n    nics: {eth0: {network: lan}}\n"
            "    bridges: {br0: {uplink: eth0, address: from-uplink}}\n"
        )
        lost = []
        for words in (("apply", str(folder / "site.yaml"), "--yes", "--no-confirm"), ("undo",)) * 3:
            with wire.entered():
                ping = subprocess.Popen(
                    ("ping", "-q", "-i", "0.005", "-w", "4", "10.0.0.5"), stdout=subprocess.PIPE, text=True
                )
            time.sleep(0.5)
            with host.entered():
                process((*BASCULE, *words))
            text = ping.communicate()[0].split()
            lost.append(int(text[text.index("packets") - 1]) - int(text[text.index("received,") - 1]))
    told = f"{sum(lost)} lost in {len(lost)} moves"
    return [Row("pings lost at 5 ms while the host's address moves", told, "—", float(max(lost)), "packets", 1.0)]
