"""Guests: who is who among 200 domains, and what a re-plug costs a running guest."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from tests.guests.test_inventory import made_up_host
from tests.guests.test_libvirt import BR4, Place, place, wait

from bascule.errors import BasculeError
from bascule.guests import domain_xml, libvirtd
from bascule.guests.kernel import GuestImage, guest_image
from bascule.system.libvirt import binding
from bascule.system.run import run as run_tool
from bascule.system.sandbox import sandboxed
from bascule.system.workers import Daemon
from benchmarks.makers import BASCULE
from benchmarks.measure import Row, in_turn, process

DOMAINS = 200
EVERY_S = 0.005
MOST_LOST = 3  # frames of a ping every 5 ms


def run(*, quick: bool) -> list[Row]:
    """One row each. Raises LookupError where libvirt or QEMU is not here."""
    why = libvirtd.missing() or (None if binding.is_here() else "libvirt's Python binding cannot be loaded")
    if why:
        raise LookupError(why)
    try:
        image = guest_image()
    except BasculeError as error:
        raise LookupError(str(error)) from error
    return [listing(3 if quick else 7), moving(image, 1 if quick else 3)]


def listing(times: int) -> Row:
    """`bascule guest list` against one virsh that prints the NICs of the same domains, and nothing else."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as node:
        node.write(made_up_host(DOMAINS))
        node.flush()
        uri = f"test://{node.name}"
        peer = ("virsh", "-q", "-c", uri, "; ".join(f"domiflist g{n}" for n in range(DOMAINS)))
        ours = (*BASCULE, "guest", "list", "--connect", uri)
        mine, theirs = in_turn(lambda: process(ours), lambda: process(peer), times)
    return Row(
        name=f"guest list, {DOMAINS} domains, test driver",
        ours=mine,
        peer=theirs,
        value=mine.wall_s.median,
        unit="s",
        limit=1.0,
        note="peer: virsh domiflist, the NICs alone",
    )


def moving(image: GuestImage, times: int) -> Row:
    """Frames that a running guest misses; the peer takes its NIC out and gives it a new one, as `virsh` can."""
    pairs = [(sandboxed(lost, image, hand_made=False), sandboxed(lost, image, hand_made=True)) for _ in range(times)]
    mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    return Row(
        name="re-plug of a running guest, ping every 5 ms",
        ours=f"{mine:g} frames lost ({min(a for a, _ in pairs)}–{max(a for a, _ in pairs)})",
        peer=f"{theirs:g} (detach and attach)",
        value=mine,
        unit="frames",
        limit=MOST_LOST,
        note="an emulated guest that waits for a processor loses more",
    )


def lost(image: GuestImage, *, hand_made: bool) -> int:
    """In a sandbox: how many pings are not answered while the guest moves between two bridges of one network."""
    with place(image) as there:
        for words in (
            "link add across type veth peer name across4",
            "link set across master br3 up",
            "link set across4 master br4 up",
            "link set br4-wire nomaster",
        ):
            run_tool(("ip", *words.split()), namespace=there.host)
        argv = ("ping", "-n", "-i", str(EVERY_S), "-W", "1", "-w", "4", "10.0.0.5")
        pings = Daemon(argv, there.wires["br3"], Path("/run/ping"))
        time.sleep(1.0)
        if hand_made:
            take_out_and_in(there)
        else:
            there.driver.move("g1", there.mac, BR4)
        wait(lambda: not pings.is_alive, 15, "ping to end")
        figures = pings.output.split("ping statistics ---")[1].split()
        return int(figures[0]) - int(figures[3])


def take_out_and_in(there: Place) -> None:
    hypervisor = there.driver.hypervisor
    element = domain_xml.find(domain_xml.parse(hypervisor.domain("g1").now), there.mac)
    if element is None:
        raise LookupError("the guest has no NIC")
    there.driver.remove("g1", there.mac)
    nic = dataclasses.replace(there.guest.nics[0], into="br4")
    there.driver.add("g1", there.mac, domain_xml.Source.of(nic), tap=nic.tap)
