"""Wait until the kernel has handed on every frame that was sent, however busy the machine is.

A veth pair puts a frame in the queue of the processor that sends it, as the loopback does (netif_rx), and each
processor works its queue off in order: what comes back by the loopback was behind whatever was sent before it.
"""

from __future__ import annotations

import os
import socket
from functools import cache

from bascule.system.net import rtnetlink
from bascule.system.net.netns import Namespace
from tests.patience import HUNG_S

PAIRS = 16  # more than a frame and its answer cross one after the other


@cache
def _loopback() -> tuple[socket.socket, socket.socket]:
    """Two ends in a namespace where no rule is."""
    with Namespace.new("loopback") as room:
        rtnetlink.change(room, [rtnetlink.set_link("lo", up=True)])
        with room.entered():
            near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    far.bind(("127.0.0.1", 0))
    far.settimeout(HUNG_S)
    near.connect(far.getsockname())
    return near, far


def drained() -> None:
    """Return when all that was sent before has arrived or been dropped."""
    near, far = _loopback()
    usual = os.sched_getaffinity(0)
    try:
        for processor in usual:
            os.sched_setaffinity(0, {processor})
            for _ in range(PAIRS):
                near.send(b".")
                far.recv(1)
    finally:
        os.sched_setaffinity(0, usual)
