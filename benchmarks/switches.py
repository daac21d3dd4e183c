"""Open vSwitch: 200 switches against one bare transaction, and what guests miss while they move from a bridge and back.

Frames are moved in userspace, so that no module of the kernel is needed; a move is measured beside a bare one.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_tool
from bascule.twin.openvswitch import TOOLS, start
from benchmarks.floors import Interpreter
from benchmarks.layout import PORTS, Ground, scratch, site_text
from benchmarks.makers import BASCULE, Ours
from benchmarks.measure import Findings, Row, Run, Usage, process

SWITCHES = 200
MOST_LOST = 3  # frames of a ping every 5 ms, beyond a bare move
EVERY_S, WATCHED_S = 0.005, 4
KIND = "kind: openvswitch, datapath: netdev, "


def run(*, quick: bool) -> Findings:
    """As root, with Open vSwitch installed. Raises LookupError."""
    if os.geteuid() != 0 or any(shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None for tool in TOOLS):
        raise LookupError("Open vSwitch is not installed, or this is not root")
    return Findings(rows=[*sandboxed(many, 1 if quick else 3), *sandboxed(moved, 1 if quick else 5)])


class Switched(Ours):
    """The bridges of the same site as switches of Open vSwitch."""

    def text(self) -> str:
        return site_text(self.bridges).replace("{uplink: e", f"{{{KIND}uplink: e")


def many(rounds: int) -> list[Row]:
    """In a sandbox: apply, an idle plan, and the same switches by one `ovs-vsctl`, each from the same state."""
    apply, bare, idle, started = [list[Run]() for _ in range(4)]
    with scratch() as folder, Ground(SWITCHES) as ground:
        daemons = list(start(ground.host, folder / "ovs"))
        ours = Switched(SWITCHES, ground, folder / "ours")
        interpreter = Interpreter("plan", str(ours.folder / "site.yaml"), namespace=ground.host)
        for _ in range(rounds):
            apply.append(ours.go())
            _see(folder, SWITCHES * (PORTS + 2))
            idle.append(ours.plan())
            started.append(interpreter())
            _gone(folder, ground)
            bare.append(_vsctl(folder, ground.host, _made(ours)))
            _see(folder, SWITCHES * (PORTS + 2))
            _gone(folder, ground)
        for daemon in daemons:
            daemon.stop()
    mine, floor, plan, begun = map(Usage.of, (apply, bare, idle, started))
    allowed = 2 * floor.wall_s.median + begun.wall_s.median
    what = f"{SWITCHES} switches × {PORTS + 1} ports"
    name = f"apply {what} by 2 × one bare ovs-vsctl + the interpreter with the same imports"
    told = f"{floor.wall_s} s + {begun.wall_s} s"
    return [
        Row(name, mine, told, mine.wall_s.median / allowed, "×", 1.0),
        Row(f"a plan with nothing to do, {what}, by that interpreter", plan, begun,
            plan.wall_s.median / begun.wall_s.median, "×", float("inf")),
    ]  # fmt: skip


def _made(ours: Ours) -> list[str]:
    """The words of one `ovs-vsctl` that makes all switches with their ports."""
    words: list[str] = []
    for number in range(SWITCHES):
        bridge = f"br{number}"
        words += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]
        for port in ours.of(number):
            words += ["--", "add-port", bridge, port]
    return words[1:]


def _gone(folder: Path, ground: Ground) -> None:
    """The switches away, every port as it was."""
    words = [word for number in range(SWITCHES) for word in ("--", "del-br", f"br{number}")]
    _vsctl(folder, ground.host, words[1:])
    ground.restore()


def _vsctl(folder: Path, host: Namespace, words: list[str]) -> Run:
    return process(("ovs-vsctl", f"--db=unix:{folder}/ovs/db.sock", *words), namespace=host)


def _see(folder: Path, ports: int) -> None:
    argv = ("ovs-vsctl", f"--db=unix:{folder}/ovs/db.sock", "--bare", "--columns=name", "find", "interface", "ofport>0")
    found = len(run_tool(argv).stdout.split())
    if found != ports:
        raise RuntimeError(f"{found} of {ports} ports are there")


# ---- from a bridge to a switch and back


def moved(rounds: int) -> list[Row]:
    """In a sandbox: pings every 5 ms to two guests while their bridge becomes a switch, and a bridge again."""
    there, back, bare, bare_back = [list[int]() for _ in range(4)]
    for _ in range(rounds):
        for lost, by in (((there, back), "apply"), ((bare, bare_back), "hand")):
            to_switch, to_bridge = _migrated(by)
            lost[0].append(to_switch)
            lost[1].append(to_bridge)
    rows = []
    for words, mine, theirs in (
        ("a bridge becomes a switch", there, bare),
        ("a switch becomes a bridge", back, bare_back),
    ):
        more = statistics.median(mine) - statistics.median(theirs)
        told = f"{statistics.median(mine):g} frames lost ({min(mine)}–{max(mine)})"
        peer = f"{statistics.median(theirs):g} ({min(theirs)}–{max(theirs)}, by ip and ovs-vsctl alone)"
        rows.append(Row(f"{words}, ping every 5 ms, beyond a bare move", told, peer, max(more, 0), "frames", MOST_LOST))
    return rows


SITE = """site: move
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {up0: {network: lan}}
    bridges: {br0: {KINDuplink: up0}}
guests:
  a: {host: h, nics: [{bridge: br0, tap: a.0, address: 10.0.0.2/24}]}
  b: {host: h, nics: [{bridge: br0, tap: b.0, address: 10.0.0.3/24}]}
"""


def _migrated(by: str) -> tuple[int, int]:
    """Frames that the guest which lost most of them missed, there and back."""
    with Namespace.new("host") as host, Namespace.new("wire") as wire, scratch() as folder:
        os.environ["BASCULE_STATE_DIR"] = str(folder / "state")
        ends = {"up0": (wire, 1), **{f"{name}.0": (Namespace.new(name), at) for at, name in ((2, "a"), (3, "b"))}}
        for link, (end, number) in ends.items():
            far = f"/proc/{os.getpid()}/fd/{end.fd}"
            run_tool(("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", far), namespace=host)
            run_tool(("ip", "addr", "add", f"10.0.0.{number}/24", "dev", "eth0"), namespace=end)
            run_tool(("ip", "link", "set", "eth0", "up"), namespace=end)
            run_tool(("ethtool", "-K", "eth0", "tx", "off"), namespace=end, check=False)
            run_tool(("ip", "link", "set", link, "up"), namespace=host)
        daemons = list(start(host, folder / "ovs"))
        file = folder / "site.yaml"
        for kind in ("", KIND, ""):
            (folder / f"{'switch' if kind else 'bridge'}.yaml").write_text(SITE.replace("KIND", kind))
        shutil.copy(folder / "bridge.yaml", file)
        _apply(host, file)
        lost = []
        for kind in ("switch", "bridge"):
            shutil.copy(folder / f"{kind}.yaml", file)
            pings = [_ping(wire, number) for number in (2, 3)]
            time.sleep(0.7)
            if by == "apply":
                _apply(host, file)
            else:
                _by_hand(host, folder, kind, list(ends))
            lost.append(max(map(_lost, pings)))
        for daemon in daemons:
            daemon.stop()
        for end, _ in list(ends.values())[1:]:
            end.close()
        return lost[0], lost[1]


def _apply(host: Namespace, file: Path) -> None:
    process((*BASCULE, "apply", str(file), "--here", "--yes", "--no-confirm"), namespace=host)


def _by_hand(host: Namespace, folder: Path, kind: str, ports: list[str]) -> None:
    """The move with nothing beside it: two programs, one after the other."""
    if kind == "switch":
        process(("ip", "link", "del", "br0"), namespace=host)
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        _vsctl(folder, host, words + [word for port in ports for word in ("--", "add-port", "br0", port)])
        return
    _vsctl(folder, host, ["del-br", "br0"])
    lines = ["link add br0 type bridge forward_delay 0", "link set br0 up"]
    lines += [f"link set {port} master br0" for port in ports]
    process(("ip", "-batch", "-"), stdin="\n".join(lines).encode(), namespace=host)


def _ping(wire: Namespace, number: int) -> subprocess.Popen[str]:
    argv = ("ping", "-q", "-i", str(EVERY_S), "-w", str(WATCHED_S), f"10.0.0.{number}")
    with wire.entered():
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def _lost(ping: subprocess.Popen[str]) -> int:
    text = ping.communicate()[0].split()
    return int(text[text.index("packets") - 1]) - int(text[text.index("received,") - 1])
