"""Open vSwitch: 200 switches against one bare transaction, and what guests miss while they move from a bridge and back.

Frames are moved in userspace, so that no module of the kernel is needed; a move is measured beside a bare one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_tool
from bascule.twin.switches import TOOLS, start
from benchmarks.floors import Interpreter
from benchmarks.layout import PORTS, Ground, scratch, site_text
from benchmarks.makers import BASCULE, Ours
from benchmarks.measure import Findings, Row, Run, Usage, process

SWITCHES = 200
MOST_LOST = 3  # frames of a ping every 5 ms, beyond a bare move
MOST_OVER = 1.5  # times what the plan says
EVERY_S, WATCHED_S = 0.005, 5.0
PACE = (EVERY_S, WATCHED_S)  # of echoes
GUESTS = 8
NUMBERS = range(GUESTS)
NETDEV = "netdev"  # the datapath in userspace
KIND = f"kind: openvswitch, datapath: {NETDEV}, "


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


class Moved(NamedTuple):
    """What each guest missed in one move, in frames, and the seconds that the plan had told for it."""

    lost: dict[str, int]
    told_s: dict[str, float]


def moved(rounds: int) -> list[Row]:
    """In a sandbox: echoes every 5 ms to eight guests while their bridge becomes a switch, and a bridge again."""
    runs = [(migrated("apply", NETDEV, PACE), migrated("hand", NETDEV, PACE)) for _ in range(rounds)]
    rows = []
    for at, words in enumerate(("a bridge becomes a switch", "a switch becomes a bridge")):
        mine, theirs = ([each[who][at] for each in runs] for who in (0, 1))
        worst, bare = ([max(one.lost.values()) for one in some] for some in (mine, theirs))
        own, peer = statistics.median(worst), statistics.median(bare)
        told = f"{own:g} frames lost ({min(worst)}–{max(worst)})"
        beside = f"{peer:g} ({min(bare)}–{max(bare)}, by ip and ovs-vsctl alone), {own / max(peer, 1):.2f} ×"
        name = f"{words}, {GUESTS} guests, the one that loses most of an echo every 5 ms, beyond a bare move"
        rows.append(Row(name, told, beside, max(own - peer, 0), "frames", MOST_LOST))
        said = max(max(one.told_s.values(), default=0.0) for one in mine)
        said_words = f"{said:.3g} s" if said else "nothing"
        name = f"the plan's figure where {words}"
        rows.append(Row(name, told, said_words, own * EVERY_S / said if said else float("inf"), "×", MOST_OVER))
    return rows


def _site(kind: str) -> str:
    guests = "".join(
        f"  g{n}: {{host: h, nics: [{{bridge: br0, tap: g{n}.0, address: {_of(n)}/24}}]}}\n" for n in NUMBERS
    )
    return f"""site: move
networks: {{lan: {{subnet: 10.0.0.0/24}}}}
hosts:
  h:
    nics: {{up0: {{network: lan}}}}
    bridges: {{br0: {{{kind}uplink: up0}}}}
guests:
{guests}"""


def _of(number: int) -> str:
    return f"10.0.0.{number + 2}"


def migrated(by: str, datapath: str, pace: tuple[float, float]) -> tuple[Moved, Moved]:
    """What every guest missed, there and back, with a datapath of Open vSwitch, in echoes."""
    with contextlib.ExitStack() as stack, scratch() as folder:
        host, wire = (stack.enter_context(Namespace.new(name)) for name in ("host", "wire"))
        os.environ["BASCULE_STATE_DIR"] = str(folder / "state")
        ends = {"up0": (wire, "10.0.0.1")}
        ends |= {f"g{n}.0": (stack.enter_context(Namespace.new(f"g{n}")), _of(n)) for n in NUMBERS}
        for link, (end, address) in ends.items():
            far = f"/proc/{os.getpid()}/fd/{end.fd}"
            run_tool(("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", far), namespace=host)
            run_tool(("ip", "addr", "add", f"{address}/24", "dev", "eth0"), namespace=end)
            run_tool(("ip", "link", "set", "eth0", "up"), namespace=end)
            run_tool(("ethtool", "-K", "eth0", "tx", "off"), namespace=end, check=False)
            run_tool(("ip", "link", "set", link, "up"), namespace=host)
        for daemon in start(host, folder / "ovs"):
            stack.callback(daemon.stop)
        file = folder / "site.yaml"
        file.write_text(_site(""))
        _apply(host, file)
        kinds = (f"kind: openvswitch, datapath: {datapath}, ", "")
        there, back = (_move(kind, by, host, wire, file, list(ends), pace) for kind in kinds)
        return there, back


def _move(
    kind: str, by: str, host: Namespace, wire: Namespace, file: Path, ports: list[str], pace: tuple[float, float]
) -> Moved:
    file.write_text(_site(kind))
    told = json.loads(_plan(host, file))["changes"] if by == "apply" else []
    words = ("-m", "benchmarks.echoes", *map(str, pace), *map(_of, NUMBERS))
    with wire.entered():
        asking = subprocess.Popen((sys.executable, *words), stdout=subprocess.PIPE, text=True)
    time.sleep(pace[1] / 7)
    if by == "apply":
        _apply(host, file)
    else:
        _by_hand(host, file.parent, kind, ports)
    lost = json.loads(asking.communicate()[0])
    said = {guest: max(x["outage_s"] for x in told if guest in x["cuts"]) for x in told for guest in x["cuts"]}
    return Moved(lost, said)


def _plan(host: Namespace, file: Path) -> str:
    with host.entered():
        return subprocess.run((*BASCULE, "plan", str(file), "--here", "--json"), capture_output=True, text=True).stdout


def _apply(host: Namespace, file: Path) -> None:
    process((*BASCULE, "apply", str(file), "--here", "--yes", "--no-confirm"), namespace=host)


def _by_hand(host: Namespace, folder: Path, kind: str, ports: list[str]) -> None:
    """The move with nothing beside it: two programs, one after the other."""
    if kind:
        process(("ip", "link", "del", "br0"), namespace=host)
        words = ["add-br", "br0", *(("--", "set", "bridge", "br0", "datapath_type=netdev") if NETDEV in kind else ())]
        _vsctl(folder, host, words + [word for port in ports for word in ("--", "add-port", "br0", port)])
        return
    _vsctl(folder, host, ["del-br", "br0"])
    lines = ["link add br0 type bridge forward_delay 0", "link set br0 up"]
    lines += [f"link set {port} master br0" for port in ports]
    process(("ip", "-batch", "-"), stdin="\n".join(lines).encode(), namespace=host)
