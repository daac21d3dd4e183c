"""A network of 200 guests, up and gone: ours against Mininet's, each run as a whole program, in turn.

    .venv/bin/python -m benchmarks.twin [runs]

Ours: 200 guests on 4 bridges of a host with 4 NICs on 4 networks with a machine each, addresses and a served port in
every guest. Mininet's (``apt-get install mininet``): 200 hosts with addresses on one Linux bridge. Both run in network
namespaces of their own and include their interpreter's start. "gone" is the time from the end of the work until the
last process has ended; the kernel frees the namespaces in the background after that, for both.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from ipaddress import ip_address, ip_interface, ip_network

from bascule.model.site import Bridge, Guest, GuestNic, Host, Machine, MachineNic, Network, Nic, PlugKind, Service, Site
from bascule.model.values import IfName, derive_mac, derive_tap
from bascule.system.run import run
from bascule.system.sandbox import sandboxed
from bascule.twin import Twin

GUESTS, BRIDGES = 200, 4
MININET = ("mn", "--switch", "lxbr", "--controller", "none", "--topo", f"single,{GUESTS}", "--test", "none")


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
    feet = {n: MachineNic(network=f"net{n}", addresses=(ip_interface(f"10.{n}.0.1/16"),)) for n in numbers}
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
        machines={f"gate{n}": Machine(name=f"gate{n}", nics=(feet[n],)) for n in numbers},
    )


def rehearsed(what: Site) -> float:
    plan = "".join(
        f"link add br{n} type bridge forward_delay 0\nlink set eth{n} up master br{n}\nlink set br{n} up\n"
        for n in range(BRIDGES)
    )
    with Twin.raise_(what) as twin:
        run(("ip", "-batch", "-"), stdin=plan, namespace=twin.host("host"))
        twin.plug_guests()
        twin.start_guests()
        ready = len(twin.world().feet)
        if ready != GUESTS + BRIDGES + 1:
            raise RuntimeError(f"{ready} endpoints instead of {GUESTS + BRIDGES + 1}")
        return time.perf_counter()


def once() -> None:
    """One run of ours: prints the seconds until it was up and from there until it was gone."""
    start = time.perf_counter()
    up = sandboxed(rehearsed, site())
    print(up - start, time.perf_counter() - up)


def row(name: str, values: list[float]) -> str:
    return f"{name:<24} {min(values):8.3f} {statistics.median(values):8.3f} {max(values):8.3f}"


def main(runs: int) -> None:
    ours, ups, gones, mininets = [], [], [], []
    have = shutil.which("mn") is not None
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run((sys.executable, "-m", "benchmarks.twin", "--once"), check=True, capture_output=True)
        ours.append(time.perf_counter() - start)
        up, gone = map(float, done.stdout.split())
        ups.append(up)
        gones.append(gone)
        time.sleep(1)  # what the kernel frees in the background is not counted against the next
        if have:
            start = time.perf_counter()
            subprocess.run(("unshare", "-n", "-m", *MININET), check=True, capture_output=True)
            mininets.append(time.perf_counter() - start)
            time.sleep(1)
    print(f"{GUESTS} guests, {runs} runs      {'min':>8} {'median':>8} {'max':>8}   seconds")
    print(row("ours, up", ups))
    print(row("ours, gone", gones))
    print(row("ours, whole program", ours))
    if not have:
        print("Mininet is not here (apt-get install mininet): no ratio")
        return
    print(row("Mininet, whole program", mininets))
    ratios = [theirs / mine for theirs, mine in zip(mininets, ours, strict=True)]
    print(row("Mininet / ours", ratios))


if __name__ == "__main__":
    if "--once" in sys.argv:
        once()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
