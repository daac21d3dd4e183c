"""Plain sockets that ask from inside a namespace, and again where nothing comes; who expects silence waits for less."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time

from bascule.system.net.netns import Namespace
from tests.patience import patient

AGAIN_S = 1.0
SILENT_S = 0.4  # everything is on one machine


def tcp(namespace: Namespace, address: str, port: int, *, wait_s: float = patient(1)) -> str:
    """The greeting, or the name of the error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered():
        talk = socket.socket(family, socket.SOCK_STREAM)
    with talk:
        talk.settimeout(wait_s)
        try:
            talk.connect((address, port))
            return talk.recv(100).decode()
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return errno.errorcode[error.errno or 0]


def udp(namespace: Namespace, address: str, port: int, payload: bytes = b"hello") -> tuple[str, str]:
    """The answer and the address that it came from, or the name of the error and nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered():
        talk = socket.socket(family, socket.SOCK_DGRAM)
    with talk:
        talk.settimeout(AGAIN_S)
        end = time.monotonic() + patient(1)
        while time.monotonic() < end:
            try:
                talk.sendto(payload, (address, port))
                answer, peer = talk.recvfrom(2000)
                return answer.decode("latin-1"), str(peer[0])
            except TimeoutError:
                continue
            except OSError as error:
                return errno.errorcode[error.errno or 0], ""
    return "timeout", ""


def ping(namespace: Namespace, address: str, *, wait_s: float = patient(1)) -> bool:
    """Whether an ICMP echo comes back."""
    with namespace.entered():
        talk = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    body = struct.pack("!HH", 4711, 1)
    total = 0x0800 + sum(struct.unpack("!HH", body))
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    with talk:
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            talk.settimeout(min(left, AGAIN_S))
            with contextlib.suppress(OSError):
                talk.sendto(struct.pack("!BBH", 8, 0, check) + body, (address, 0))
                while True:
                    data, peer = talk.recvfrom(200)
                    if peer[0] == address and data[20] == 0 and data[24:28] == body:
                        return True
    return False


def resolve(namespace: Namespace, server: str, name: str) -> list[str]:
    """The IPv4 addresses that a DNS server gives for a name (RFC 1035)."""
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    answer, _ = udp(namespace, server, 53, struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question)
    data = answer.encode("latin-1")
    if len(data) < 12:
        return []
    count = struct.unpack_from("!H", data, 6)[0]
    at, found = 12 + len(question), []
    for _ in range(count):
        size = struct.unpack_from("!H", data, at + 10)[0]
        found.append(socket.inet_ntoa(data[at + 12 : at + 12 + size]))
        at += 12 + size
    return found
