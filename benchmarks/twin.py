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


def run(*, quick: bool) -> Findings:
    """Whole programs in turn; Mininet where it is installed."""
    ours: list[Run] = []
    theirs: list[Run] = []
    ups: list[float] = []
    gones: list[float] = []
    bare_ups: list[float] = []
    bare_gones: list[float] = []
    left_out: dict[str, str] = {}
    with tempfile.NamedTemporaryFile("r") as told:
        for _ in range(1 if quick else 3):
            ours.append(process((sys.executable, "-m", "benchmarks.twin", told.name)))
            up, gone = map(float, Path(told.name).read_text().split())
            ups.append(up)
            gones.append(gone)
            time.sleep(1)  # what the kernel frees in the background is not counted against the next
            floor = (sys.executable, "-S", "-c", FLOOR, str(GUESTS), str(BRIDGES), told.name)
            process(("unshare", "-n", "-m", *floor))
            up, gone = map(float, Path(told.name).read_text().split())
            bare_ups.append(up)
            bare_gones.append(gone)
            time.sleep(1)
            try:
                theirs.append(process(("unshare", "-n", "-m", tool("mn"), *MININET)))
                time.sleep(1)
            except (LookupError, RuntimeError) as why:
                left_out["Mininet"] = str(why)
    raised, left, bare, freed = map(Figures.of, (ups, gones, bare_ups, bare_gones))
    what = f"twin of {GUESTS} guests on {BRIDGES} bridges, up, by as many namespaces and cables of `ip`"
    rows = [
        Row(what, f"{raised} s", f"{bare} s", raised.median / bare.median, "×", 1.0),
        Row("the same, gone, by theirs", f"{left} s", f"{freed} s", left.median / freed.median, "×", 1.0),
    ]
    if theirs:
        mine, peer = Usage.of(ours), Usage.of(theirs)
        rows.append(Row("the same, whole program, against Mininet", mine, peer, ratio(peer, mine), "×", 6, False))
    return Findings(rows=rows, left_out=left_out)


if __name__ == "__main__":
    once()
