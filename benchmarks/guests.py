"""Guests: who is who among 200 domains, and what a re-plug costs a running guest."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.guests.test_inventory import made_up_host
from tests.guests.test_libvirt import BR4, Place, place
from tests.patience import wait_until

from bascule.errors import BasculeError
from bascule.model.site import Attachment, PlugKind
from bascule.model.values import IfName
from bascule.system.libvirt import binding
from bascule.system.process.sandbox import sandboxed
from bascule.system.process.workers import Daemon
from bascule.system.run import run as run_tool
from bascule.twin.test_guest import libvirtd
from bascule.twin.test_guest.kernel import GuestImage, guest_image
from benchmarks.floors import Interpreter, one_after_the_other
from benchmarks.makers import BASCULE
from benchmarks.measure import Row, in_turn, process, ratio

DOMAINS = 200
EVERY_S = 0.005
MOST_LOST = 3  # frames of a ping every 5 ms


def run(*, quick: bool) -> list[Row]:
    """One row each; a quick run boots no guest. Raises LookupError where libvirt or QEMU is not here."""
    why = libvirtd.missing() or (None if binding.is_here() else "libvirt's Python binding cannot be loaded")
    if why:
        raise LookupError(why)
    try:
        image = guest_image()
    except BasculeError as error:
        raise LookupError(str(error)) from error
    return [listing(3)] if quick else [listing(7), moving(image, 5)]


def listing(times: int) -> Row:
    """`bascule guest list` against one virsh that prints the NICs of the same domains, and its own interpreter."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as node:
        node.write(made_up_host(DOMAINS))
        node.flush()
        uri = f"test://{node.name}"
        peer = ("virsh", "-q", "-c", uri, "; ".join(f"domiflist g{n}" for n in range(DOMAINS)))
        ours = (*BASCULE, "guest", "list", "--connect", uri)
        interpreter = Interpreter(*ours[len(BASCULE) :])
        mine, theirs = in_turn(
            lambda: process(ours), lambda: one_after_the_other((interpreter(), process(peer))), times
        )
    return Row(
        name=f"guest list, {DOMAINS} domains, test driver, by the interpreter with the same imports and virsh",
        ours=mine,
        peer=theirs,
        value=ratio(mine, theirs),
        unit="×",
        limit=3.0,
        note="virsh domiflist prints the NICs alone",
    )


def moving(image: GuestImage, times: int) -> Row:
    """Frames that a running guest misses; the peer takes its NIC out and gives it a new one, as `virsh` can.

    What the guest itself needs after its cable was out, with no move at all, is measured beside it and taken off: its
    kernel looks at a carrier that is back when it likes (linkwatch waits up to a second), and then it renews.
    """
    rounds = [[sandboxed(lost, image, how) for how in (move, pull, take_out_and_in)] for _ in range(times)]
    mine, own, theirs = (statistics.median(values) for values in zip(*rounds, strict=True))
    moved, pulled, _ = zip(*rounds, strict=True)
    return Row(
        name="re-plug of a running guest, ping every 5 ms, beside the guest's own way back",
        ours=f"{mine:g} frames lost ({min(moved)}–{max(moved)}), cable out and in alone {own:g} "
        f"({min(pulled)}–{max(pulled)})",
        peer=f"{theirs:g} (detach and attach)",
        value=max(mine - own, 0),
        unit="frames",
        limit=MOST_LOST,
        note="an emulated guest that waits for a processor loses more",
    )


def lost(image: GuestImage, change: Callable[[Place], None]) -> int:
    """In a sandbox: how many pings are not answered while something is done to the guest's NIC.

    Its two bridges are one network.
    """
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
        with there.host.entered():  # where `bascule guest replug` would run
            change(there)
        wait_until(lambda: not pings.is_alive, 15, "ping to end")
        figures = pings.output.split("ping statistics ---")[1].split()
        return int(figures[0]) - int(figures[3])


def move(there: Place) -> None:
    there.runtime.replug(there.domain(), there.nic(), BR4)


def pull(there: Place) -> None:
    there.runtime.unplug(there.domain(), there.nic())
    there.runtime.replug(there.domain(), there.nic(), Attachment(PlugKind.BRIDGE, "br3"))


def take_out_and_in(there: Place) -> None:
    nic = there.nic()
    there.runtime.detach(there.domain(), nic)
    there.runtime.attach(there.domain(), BR4, mac=nic.mac, tap=IfName(nic.tap), model="virtio")
