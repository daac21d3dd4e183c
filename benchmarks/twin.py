"""A network of 200 guests, up and gone: ours against Mininet's, each run as a whole program, in turn.

The floor is what ``ip`` itself needs for 200 named namespaces, each with a cable to a bridge and an address, and for
their end. Ours: 200 guests on 4 bridges of a host with 4 NICs on 4 networks with a machine each, addresses and a served
port in every guest. Mininet's (``apt-get install mininet``): 200 hosts with addresses on one Linux bridge. Both run in
network namespaces of their own and include their interpreter's start. "gone" is the time from the end of the work until
the last process has ended; the kernel frees the namespaces in the background after that, for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from bascule.model.host_links import Bridge, Nic
from bascule.model.site import Guest, GuestNic, Host, Machine, MachineNic, Network, PlugKind, Site
from bascule.model.values import IfName, Service, derive_mac, derive_tap
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_tool
from bascule.twin import Twin
from benchmarks.measure import Figures, Findings, Row, Run, Usage, process, ratio, tool

GUESTS, BRIDGES = 200, 4
ROUNDS = 5  # the end takes milliseconds: one alone tells of the machine's other work
SETTLE_S = 1  # what the kernel frees in the background is not counted against the next
FLOOR = """\
import subprocess, sys, time
def ip(words, lines):
    subprocess.run(("ip", *words, "-batch", "-"), input="".join(line + "\\n" for line in lines), text=True, check=True)
guests, bridges = int(sys.argv[1]), int(sys.argv[2])
subprocess.run(("mount", "-t", "tmpfs", "none", "/run"), check=True)
start = time.perf_counter()
ip((), [f"netns add g{n}" for n in range(guests)] + [f"link add br{n} up type bridge" for n in range(bridges)]
    + [f"link add t{n} up master br{n % bridges} type veth peer name eth0 netns g{n}" for n in range(guests)])
for n in range(guests):
    ip(("-n", f"g{n}"), ["link set lo up", f"addr add 10.{n % bridges}.1.{n // bridges + 1}/16 dev eth0",
        "link set eth0 up"])
up = time.perf_counter()
subprocess.run(("ip", "-all", "netns", "delete"), check=True)
open(sys.argv[3], "w").write(f"{up - start} {time.perf_counter() - up}")
"""
MININET = ("--switch", "lxbr", "--controller", "none", "--topo", f"single,{GUESTS}", "--test", "none")


def site() -> Site:
    def guest(number: int) -> Guest:
        name = f"guest_{number:03}"
        address = ip_interface(f"10.{number % BRIDGES}.1.{number // BRIDGES + 1}/16")
        nic = GuestNic(
            guest=name,
            index=0,
            plug=PlugKind.BRIDGE,
            into=f"br{number % BRIDGES}",
            mac=derive_mac("benchmark", name, 0),
            tap=derive_tap(name, 0),
            addresses=(address,),
        )
        return Guest(name=name, host="host", nics=(nic,), serves=(Service("tcp", 80, 80),))

    numbers = range(BRIDGES)
    nics = {IfName(f"eth{n}"): Nic(name=IfName(f"eth{n}"), network=f"net{n}") for n in numbers}
    bridges = {IfName(f"br{n}"): Bridge(name=IfName(f"br{n}"), uplink=IfName(f"eth{n}")) for n in numbers}
    attachments = {n: MachineNic(network=f"net{n}", addresses=(ip_interface(f"10.{n}.0.1/16"),)) for n in numbers}
    return Site(
        name="benchmark",
        networks={
            f"net{n}": Network(
                name=f"net{n}", subnets=(ip_network(f"10.{n}.0.0/16"),), gateways=(ip_address(f"10.{n}.0.1"),)
            )
            for n in numbers
        },
        hosts={"host": Host(name="host", nics=nics, bridges=bridges)},
        guests={guest.name: guest for guest in map(guest, range(GUESTS))},
        machines={f"gate{n}": Machine(name=f"gate{n}", nics=(attachments[n],)) for n in numbers},
    )


def rehearsed(what: Site) -> float:
    plan = "".join(
        f"link add br{n} type bridge forward_delay 0\nlink set eth{n} up master br{n}\nlink set br{n} up\n"
        for n in range(BRIDGES)
    )
    with Twin.raise_(what) as twin:
        run_tool(("ip", "-batch", "-"), stdin=plan, namespace=twin.host("host"))
        twin.plug_guests()
        twin.start_guests()
        ready = len(twin.probe_domain().attachments)
        if ready != GUESTS + BRIDGES + 1:
            raise RuntimeError(f"{ready} endpoints instead of {GUESTS + BRIDGES + 1}")
        return time.perf_counter()


def once() -> None:
    """One run of ours: writes the seconds until it was up and from there until it was gone."""
    start = time.perf_counter()
    up = sandboxed(rehearsed, site())
    Path(sys.argv[1]).write_text(f"{up - start} {time.perf_counter() - up}")


def each(told: Path, rounds: int) -> tuple[list[Run], list[tuple[float, float]], list[tuple[float, float]]]:
    """Ours and `ip` in turn: our whole programs, and the seconds of both until all was up and until it was gone."""
    whole: list[Run] = []
    times: tuple[list[tuple[float, float]], list[tuple[float, float]]] = [], []
    floor = (sys.executable, "-S", "-c", FLOOR, str(GUESTS), str(BRIDGES), str(told))
    for number in range(2 * rounds):
        argv = ("unshare", "-n", "-m", *floor) if number % 2 else (sys.executable, "-m", "benchmarks.twin", str(told))
        run = process(argv)
        whole += [] if number % 2 else [run]
        up, gone = map(float, told.read_text().split())
        times[number % 2].append((up, gone))
        time.sleep(SETTLE_S)
    return whole, *times


def run(*, quick: bool) -> Findings:
    """Whole programs, ours and the floor's in turn; then Mininet's, where it is installed."""
    theirs: list[Run] = []
    left_out: dict[str, str] = {}
    with tempfile.NamedTemporaryFile("r") as told:
        ours, mine, bare = each(Path(told.name), ROUNDS)
    try:
        for _ in range(1 if quick else 3):
            theirs.append(process(("unshare", "-n", "-m", tool("mn"), *MININET)))
            time.sleep(SETTLE_S)
    except (LookupError, RuntimeError) as why:
        left_out["Mininet"] = str(why)
    raised, left = map(Figures.of, zip(*mine, strict=True))
    floor, freed = map(Figures.of, zip(*bare, strict=True))
    what = f"twin of {GUESTS} guests on {BRIDGES} bridges, up, by as many namespaces and cables of `ip`"
    rows = [
        Row(what, f"{raised} s", f"{floor} s", raised.median / floor.median, "×", 1.0),
        Row("the same, gone, by theirs", f"{left} s", f"{freed} s", left.median / freed.median, "×", 1.0),
    ]
    if theirs:
        whole, peer = Usage.of(ours), Usage.of(theirs)
        rows.append(Row("the same, whole program, against Mininet", whole, peer, ratio(peer, whole), "×", 6, False))
    return Findings(rows=rows, left_out=left_out)


if __name__ == "__main__":
    once()
