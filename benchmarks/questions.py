"""Everybody asks everybody: all ordered pairs of 200 guests on 4 bridges, by ARP and by ICMP, against ping(8).

One network, one host with 4 NICs on it, a bridge on each, 50 guests on each bridge; so three of four pairs cross the
building's switch. Ours asks all 39,800 ordered pairs. The peer is what an administrator would type, ``ping -c 1`` in
the guest's namespace, for a sample of the same pairs in the same twin, one after the other: 39,800 of them would take
minutes, so the ratio is per pair.
"""

from __future__ import annotations

import shutil
import statistics
import time
from ipaddress import ip_interface, ip_network

from bascule.model.host_links import Bridge, Nic
from bascule.model.site import Guest, GuestNic, Host, Network, PlugKind, Site
from bascule.model.values import IfName, derive_mac, derive_tap
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_program
from bascule.twin import Twin
from benchmarks.measure import Figures, Row
from benchmarks.ping_matrix import ask_pairs

GUESTS, BRIDGES, SAMPLE = 200, 4, 100
PLAN = "".join(
    f"link add br{n} type bridge forward_delay 0 mcast_snooping 0\nlink set br{n} addrgenmode none\n"
    f"link set eth{n} up master br{n}\nlink set br{n} up\n"
    for n in range(BRIDGES)
)


def site(guests: int = GUESTS) -> Site:
    def guest(number: int) -> Guest:
        name = f"guest_{number:03}"
        nic = GuestNic(
            guest=name,
            index=0,
            plug=PlugKind.BRIDGE,
            into=f"br{number % BRIDGES}",
            mac=derive_mac("questions", name, 0),
            tap=derive_tap(name, 0),
            addresses=(ip_interface(f"10.0.{1 + number // 100}.{number % 100 + 1}/16"),),
        )
        return Guest(name=name, host="host", nics=(nic,))

    numbers = range(BRIDGES)
    return Site(
        name="questions",
        networks={"net": Network(name="net", subnets=(ip_network("10.0.0.0/16"),))},
        hosts={
            "host": Host(
                name="host",
                nics={IfName(f"eth{n}"): Nic(name=IfName(f"eth{n}"), network="net") for n in numbers},
                bridges={IfName(f"br{n}"): Bridge(name=IfName(f"br{n}"), uplink=IfName(f"eth{n}")) for n in numbers},
            )
        },
        guests={one.name: one for one in map(guest, range(guests))},
    )


def measure(what: Site, rounds: int) -> tuple[list[float], list[float]]:
    """Inside a sandbox: seconds of each round of all pairs, and of each ping of the sample."""
    ours: list[float] = []
    peer: list[float] = []
    with Twin.raise_(what) as twin:
        run_program(("ip", "-batch", "-"), stdin=PLAN, namespace=twin.host("host"))
        twin.plug_guests()
        twin.start_guests()
        probe_domain = twin.probe_domain()
        attachments = [probe_domain.attachments[name][0] for name in what.guests]
        for number in range(rounds):
            start = time.perf_counter()
            matrix = ask_pairs(attachments)
            ours.append(time.perf_counter() - start)
            if not matrix.ok:
                raise RuntimeError(f"{len(matrix.misses)} pairs failed: {matrix.misses[0]}")
            for pair in range(SAMPLE // rounds if shutil.which("ping") else 0):
                source = (pair * 7 + number) % len(attachments)
                target = attachments[(source + 1 + pair) % len(attachments)].addresses[0].ip
                start = time.perf_counter()
                run_program(("ping", "-c", "1", "-W", "1", str(target)), namespace=attachments[source].namespace)
                peer.append(time.perf_counter() - start)
    return ours, peer


def run(*, quick: bool) -> list[Row]:
    ours, peer = sandboxed(measure, site(), 2 if quick else 5)
    pairs = GUESTS * (GUESTS - 1)
    rows = [
        Row(
            f"{pairs:,} ordered pairs of {GUESTS} guests, by ARP and ICMP",
            f"{Figures.of(ours)} s",
            "",
            statistics.median(ours),
            "s",
            float("inf"),
        )
    ]
    if peer:
        each = statistics.median(ours) / pairs
        rows.append(
            Row(
                "one pair by ARP and ICMP, times faster than `ping -c 1`",
                f"{each * 1e6:.0f} µs",
                f"{Figures.of(peer)} s",
                statistics.median(peer) / each,
                "×",
                30,
                at_most=False,
                note="" if not quick else "quick",
            )
        )
    return rows
