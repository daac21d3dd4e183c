"""Frames sent from one port and heard at others, slowly enough that what does not arrive was stopped on its way.

A switch in user space loses frames of a burst, and on a busy machine they come late (both seen). So after each few
frames one is sent that must pass, and the next ones go when it has arrived.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence

from bascule.frames import bpf
from bascule.frames.codecs.ethernet import VLAN, mac_bytes
from bascule.frames.guarding import build
from bascule.frames.guarding.build import is_of_fragments
from bascule.probe.domain import ProbeAttachment
from bascule.system.net.packet import Listener, open_packet

SILENCE_S = 0.05  # without a frame from the port: what was sent before has crossed the bridge, or never will
LATEST_S = 3.0  # for frames that must arrive
AGAIN_S = 0.2  # after which one that must arrive is sent again
EVERYTHING = bpf.any_of([])
IPV4 = build.IPV4.to_bytes(2, "big")
LATER = b"later"
GROUPS = 4  # frames to everybody at the end, of which each listener must hear one


@contextlib.contextmanager
def sending(
    inside: ProbeAttachment, others: Sequence[ProbeAttachment], legitimate: Sequence[bytes]
) -> Iterator[PacedSender]:
    """The way from one attachment to others; ``legitimate`` are frames of which some must pass."""
    with contextlib.ExitStack() as stack:
        listeners = []
        for other in others:
            with other.namespace.entered():
                listeners.append(stack.enter_context(contextlib.closing(Listener(other.link, EVERYTHING))))
        with inside.namespace.entered():
            raw = stack.enter_context(open_packet(inside.link, protocol=0))
        yield PacedSender(raw, listeners, {mac_bytes(other.mac) for other in others}, legitimate)


class PacedSender:
    """What was sent by it, and what of that was heard."""

    def __init__(
        self, raw: socket.socket, listeners: Sequence[Listener], macs: set[bytes], legitimate: Sequence[bytes]
    ) -> None:
        self._raw, self._listeners = raw, listeners
        self._heard: set[bytes] = set()
        self._sent: set[bytes] = set()
        self._to_one = [frame for frame in legitimate if frame[:6] in macs][:1]
        self._to_all = [frame for frame in legitimate if frame[0] & 1][:GROUPS]

    def send(self, frame: bytes) -> bool:
        """Send a frame; False where it is longer than the guest's link carries."""
        try:
            self._raw.send(frame)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return False
        self._sent.add(_key(frame))
        return True

    def wait(self) -> None:
        """Until a frame that must pass has passed. Where none does, nobody waits for one again."""
        if self._to_one and not self._until(self._to_one, len(self._listeners) - 1, set()):
            self._to_one = []

    def finish(self, due: Iterable[bytes]) -> None:
        """Until all that is due was heard, every listener heard a frame that was sent last, and it is silent."""
        self._until(self._to_all, 0, {_key(frame) for frame in due})
        quiet = time.monotonic() + SILENCE_S
        end = time.monotonic() + LATEST_S
        while time.monotonic() < min(quiet, end):
            if any(self._drain(quiet - time.monotonic())):
                quiet = time.monotonic() + SILENCE_S

    def has_arrived(self, frame: bytes) -> bool:
        """Whether any listener heard it."""
        return _key(frame) in self._heard

    def _until(self, last: Sequence[bytes], spared: int, due: set[bytes]) -> bool:
        """Send frames that must pass until all but so many listeners heard one; False after LATEST_S."""
        marks = {_key(frame) for frame in last}
        hears = [False] * len(self._listeners)
        again = begun = time.monotonic()
        while (now := time.monotonic()) < begun + LATEST_S:
            if sum(hears) >= len(hears) - spared and due <= self._heard:
                return True
            if now >= again and sum(hears) < len(hears) - spared:
                again = now + AGAIN_S
                for frame in last:
                    self._raw.send(frame)
            for place, heard in enumerate(self._drain(again - time.monotonic() if now < again else AGAIN_S, marks)):
                hears[place] |= bool(heard & marks)
        return False

    def _drain(self, wait_s: float, marks: Iterable[bytes] = ()) -> list[set[bytes]]:
        """What each listener has heard of ours, after it was waited so long at most."""
        ready = select.select(self._listeners, (), (), max(wait_s, 0))[0]
        ours = self._sent.union(marks)
        found = [_frames(listener) & ours if listener in ready else set[bytes]() for listener in self._listeners]
        self._heard.update(*(one & self._sent for one in found))
        return found


def _frames(listener: Listener) -> set[bytes]:
    found = set()
    for data, tci in listener.frames(4096):
        whole = data if tci is None else data[:12] + VLAN.to_bytes(2, "big") + tci.to_bytes(2, "big") + data[12:]
        found.add(_key(whole))
        if whole[12:14] == IPV4 and is_of_fragments(whole) and not int.from_bytes(whole[20:22]) & 0x3FFF:
            found.add(_key(whole) + LATER)  # joined: the later pieces are in it
    return found


def _key(frame: bytes) -> bytes:
    """What a frame is known by again.

    A bridge with br_netfilter cuts its padding, and connection tracking joins the fragments of a packet: a host hears
    it whole, a guest behind the bridge in fragments again.
    """
    if not is_of_fragments(frame):
        return frame.rstrip(b"\0")
    if frame[12:14] == IPV4:
        later = int.from_bytes(frame[20:22]) & 0x1FFF
        return frame[:14] + frame[18:20] + frame[23:24] + frame[26:34] + (LATER if later else b"")
    return frame[:18] + frame[22:54]
