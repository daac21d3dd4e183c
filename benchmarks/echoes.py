"""``python -m benchmarks.echoes EVERY_S FOR_S ADDRESS …``: echo requests to all addresses at a steady pace.

Prints for each address how many of them had no answer, as JSON. ping(8) waits for the kernel's tick between two
requests that stay unanswered, so it sends fewer of them just when they are lost.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time

LATE_S = 0.3  # how long the last answers may take
BUFFER = 1 << 24


def main(every_s: float, for_s: float, addresses: list[str]) -> None:
    """As root, in the namespace that asks."""
    door = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    door.setblocking(False)
    number, own, sent = round(for_s / every_s), os.getpid() & 0xFFFF, 0
    answered: dict[str, set[int]] = {address: set() for address in addresses}
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < for_s + LATE_S:
        if sent < number and now >= sent * every_s:
            for address in addresses:
                door.sendto(_request(own, sent), (address, 0))
            sent += 1
            continue
        until = sent * every_s if sent < number else for_s + LATE_S
        if not select.select([door], [], [], max(until - now, 0))[0]:
            continue
        packet, (sender, _) = door.recvfrom(2048)
        kind, _, _, whose, which = struct.unpack_from("!BBHHH", packet, 4 * (packet[0] & 15))
        if (kind, whose) == (0, own) and sender in answered:
            answered[sender].add(which)
    print(json.dumps({address: number - len(some) for address, some in answered.items()}))


def _request(own: int, number: int) -> bytes:
    total = 0x0800 + own + number
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~(total + (total >> 16)) & 0xFFFF, own, number)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
