"""What packet sockets have in common: closing many, and the time stamps of the kernel."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence

from bascule.system.net.packet import SO_TIMESTAMPNS


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close many sockets at the price of one.

    The kernel waits for an RCU grace period (some 12 ms) in each close of a packet socket; those that wait at the
    same time share one. The threads do nothing else and are gone on return.
    """
    if len(sockets) <= 1:
        for sock in sockets:
            sock.close()
        return
    share = [list(sockets[start::64]) for start in range(min(64, len(sockets)))]

    def close(part: list[socket.socket]) -> None:
        for sock in part:
            sock.close()

    threads = [threading.Thread(target=close, args=(part,)) for part in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PATIENCE_S = 0.1


def await_timestamps() -> float:
    """Wait until the kernel stamps frames when they pass, and say how long it took in seconds.

    The first socket that asks for time stamps only sets a work item going; frames that pass before it has run are
    stamped when they are read, which tells nothing of their order. A datagram to ourselves shows whether it has.
    """
    start = time.monotonic()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(PATIENCE_S)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            while time.monotonic() - start < PATIENCE_S:
                sock.sendto(b".", sock.getsockname())
                time.sleep(0.0005)
                before = time.time_ns()
                _, control, _, _ = sock.recvmsg(16, 64)
                if any(0 < read_stamp(data) < before for _, kind, data in control if kind == SO_TIMESTAMPNS):
                    break
    except OSError:  # no loopback address here: there is nobody to ask, so give it a generous time
        time.sleep(PATIENCE_S / 4)
    return time.monotonic() - start


def read_stamp(data: bytes) -> int:
    """Nanoseconds since the epoch from the control message of SO_TIMESTAMPNS; 0 where it is cut short."""
    if len(data) < 16:
        return 0
    seconds, nanoseconds = struct.unpack("qq", data[:16])
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
