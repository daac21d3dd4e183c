"""Whether frames to MACs behind an uplink still come in by it, or the switch outside sends them to somebody else.

A switch sends a frame to the port where its MAC spoke last. A machine that has a guest's MAC and talks with others
shows us none of its frames, but takes the guest's. So frames are sent to each MAC from another link of this host in
the same network: of a protocol that nobody answers (IEEE Std 802's local experimental EtherType), for an answer would
teach the switch the right port again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Collection

from bascule.frames import bpf, filters
from bascule.frames.codecs import ethernet
from bascule.model.values import IfName, Mac
from bascule.system.net.packet import open_packet

ROUNDS = 6
EVERY_S = 0.1
MACS_AT_MOST = 64  # of an uplink: so many frames of a round find place in the receive buffer


def arrivals(other: IfName, other_mac: Mac, uplink: IfName, macs: Collection[Mac]) -> Counter[Mac]:
    """How many of ROUNDS frames to each MAC that left by ``other`` came in by ``uplink``. Raises OSError."""
    mark, found = os.urandom(8), Counter(dict.fromkeys(macs, 0))
    source = ethernet.mac_bytes(other_mac)
    frames = [ethernet.frame(ethernet.mac_bytes(mac), source, ethernet.EXPERIMENTAL, mark) for mac in macs]
    kinds = bpf.any_of(filters.of_ethertype(ethernet.EXPERIMENTAL), refuse_outgoing=True)
    with open_packet(uplink, kinds) as sock, open_packet(other, protocol=0) as sender:
        for _ in range(ROUNDS):
            for frame in frames:
                with contextlib.suppress(BlockingIOError):  # its queue is full
                    sender.send(frame)
            time.sleep(EVERY_S)
            found.update(_heard(sock, mark))
    return found


def _heard(sock: socket.socket, mark: bytes) -> list[Mac]:
    heard = []
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(bpf.SNAPLEN):
            if data[14:22] == mark:
                heard.append(ethernet.mac_text(data[:6]))
    return heard
