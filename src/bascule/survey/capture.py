"""Listen on many NICs at once, and optionally send one frame out of each to prove which ones share a wire."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType

from msgspec import Struct, field

from bascule.frames.codecs import ethernet
from bascule.frames.control_filter import control_filter
from bascule.frames.envelope import Tags, unwrap
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.listen_up import SIGNALS, brought_up, why_not
from bascule.survey.shared_segment import ActiveProof
from bascule.system.net.ethtool import driver
from bascule.system.net.packet import Listener, send_frame
from bascule.system.process.signals import handling
from bascule.topology.layer2 import CableEnd

TICK_S = 0.25  # how often progress is told and a stop is noticed
MARK = b"bascule survey "
LAST_WORDS_S = 1.0  # how long the wires are given to carry an active frame

# seconds left (0.0 is the last call) and the frames of each NIC so far
Progress = Callable[[float, Mapping[str, int]], None]


class Listening(Struct):
    """What a capture brought: the summaries, the proofs, and the signal that ended it early (0: none)."""

    heard: dict[str, NicTraffic] = field(default_factory=dict)
    proofs: tuple[ActiveProof, ...] = ()
    stopped_by: int = 0


class _Stop:
    """Notes the first SIGINT, SIGTERM or SIGHUP, so that what was changed is put back in peace."""

    def __init__(self) -> None:
        self.signal = 0

    def note(self, number: int, _: FrameType | None) -> None:
        self.signal = self.signal or number


def listen(
    nics: Sequence[str],
    state: HostState,
    *,
    seconds: float,
    observe: Callable[[], HostState],
    active: bool = False,
    progress: Progress | None = None,
) -> Listening:
    """Hear what the wires say for so many seconds; the NICs are as before afterwards.

    ``observe`` reads the state again, for the carriers at the end. Raises NotPermitted, UsageFault, CommandFailed.
    """
    stop, result = _Stop(), Listening()
    with handling(dict.fromkeys(SIGNALS, stop.note)), contextlib.ExitStack() as stack:
        listeners: dict[str, Listener] = {}
        program = control_filter()
        for nic in nics:  # listeners first, so that nothing is missed between up and listening
            listeners[nic] = listener = Listener(nic, program)
            stack.callback(listener.close)
        raised = stack.enter_context(brought_up(nics, state))
        for listener in listeners.values():
            listener.clear_error()
        room = _Capture(listeners, stop)
        started = time.monotonic()
        room.hear(started + seconds, progress)
        if active and not stop.signal:
            result.proofs = room.prove(state)
        lasted = time.monotonic() - started
        now = observe()
        macs = _own_macs(state)
        for nic in nics:
            link = now.links.get(IfName(nic))
            result.heard[nic] = room.collectors[nic].finish(
                seconds=lasted,
                carrier=link.facts.carrier if link is not None and link.up else None,
                driver=driver(nic),
                raised=nic in raised,
                own_macs=macs.get(nic, frozenset()),
                notes=(*_remarks(nic, state, raised), *room.notes(nic), *_gone(state.links[IfName(nic)], link)),
            )
    result.stopped_by = stop.signal
    return result


def _remarks(nic: str, state: HostState, raised: Iterable[str]) -> tuple[str, ...]:
    link = state.links[IfName(nic)]
    return (why_not(link, state),) if not link.up and nic not in raised else ()


def _gone(before: Link, now: Link | None) -> tuple[str, ...]:
    """Whoever has gone is silent, and that says nothing of the wire; a new one of its name is not listened on."""
    if now is not None and now.facts.index == before.facts.index:
        return ()
    again = " and came again" if now is not None else ""
    return (f"{before.name} went away{again} while it was listened on; what came after that was not heard",)


def _own_macs(state: HostState) -> dict[str, frozenset[str]]:
    """The MACs that only this NIC wears; a bond gives all members one, which proves nothing."""
    worn: dict[str, set[str]] = {}
    for link in state.links.values():
        for mac in {link.mac, link.facts.permanent_mac} - {None}:
            worn.setdefault(str(mac), set()).add(link.name)
    above = {
        link.name: {link.master, *(x.name for x in state.links.values() if x.parent == link.name)}
        for link in state.links.values()
    }
    return {
        name: frozenset(mac for mac, links in worn.items() if name in links and links <= {name, *above[name]})
        for name in state.links
    }


class _Capture:
    """The selector loop over all listeners."""

    def __init__(self, listeners: Mapping[str, Listener], stop: _Stop) -> None:
        self.listeners = listeners
        self.collectors = {nic: Collector(nic) for nic in listeners}
        self.stop = stop
        self.troubles: dict[str, list[str]] = {nic: [] for nic in listeners}
        self.marks: dict[bytes, CableEnd] = {}
        self.proofs: list[ActiveProof] = []

    def hear(self, until: float, progress: Progress | None) -> None:
        """Until the time is over or a signal came."""
        with selectors.DefaultSelector() as selector:
            for nic, listener in self.listeners.items():
                selector.register(listener, selectors.EVENT_READ, nic)
            told = 0.0
            while not self.stop.signal and (left := until - time.monotonic()) > 0:
                for key, _ in selector.select(min(left, TICK_S)):
                    if not self._drain(key.data):
                        selector.unregister(key.fileobj)
                if progress is not None and time.monotonic() - told >= TICK_S:
                    told = time.monotonic()
                    progress(left, {nic: c.frames for nic, c in self.collectors.items()})
            if progress is not None:
                progress(0.0, {nic: c.frames for nic, c in self.collectors.items()})
            for nic in self.listeners:  # what came in with the last tick
                self._drain(nic)

    def _drain(self, nic: str) -> bool:
        """Take what waits; False when the link is gone."""
        collector = self.collectors[nic]
        try:
            for data, tci in self.listeners[nic].frames():
                tags: Tags = (tci & 0xFFF,) if tci is not None and tci & 0xFFF else ()
                if self.marks and self._is_ours(nic, data, tags):
                    continue
                collector.add(data, tags)
        except OSError as error:
            words = f"listening on {nic} was disturbed: {error.strerror}"
            if words not in self.troubles[nic]:
                self.troubles[nic].append(words)
            return len(self.troubles[nic]) < 2
        return True

    def _is_ours(self, nic: str, data: bytes, tags: Tags) -> bool:
        at = data.find(MARK)
        if at < 0 or at > 64:
            return False
        packet = unwrap(data, tags)
        sent = self.marks.get(data[at : at + len(MARK) + 16])
        if packet is None or sent is None or packet.key != ("ether", ethernet.EXPERIMENTAL):
            return False
        proof = ActiveProof(sent, CableEnd(nic, packet.tags))
        if proof not in self.proofs:
            self.proofs.append(proof)
        return True

    def prove(self, state: HostState) -> tuple[ActiveProof, ...]:
        """Send one frame out of each NIC, and on a trunk one for each tag that was heard; see where they come in."""
        for nic, collector in self.collectors.items():
            mac = state.links[IfName(nic)].mac
            if mac is None:
                continue
            for tags in collector.finish().segments or ((),):
                token = MARK + os.urandom(16)
                with contextlib.suppress(OSError):  # no carrier: nothing leaves, nothing is proved
                    self.marks[token] = CableEnd(nic, tags)
                    send_frame(nic, _frame(mac, tags, token))
        self.hear(time.monotonic() + LAST_WORDS_S, None)
        return tuple(self.proofs)

    def notes(self, nic: str) -> tuple[str, ...]:
        """What disturbed the listening."""
        found = list(self.troubles[nic])
        with contextlib.suppress(OSError):
            dropped = self.listeners[nic].drops()
            if dropped:
                found.append(f"{dropped} control frames came faster than they could be read and were lost")
        return tuple(found)


def _frame(mac: str, tags: Tags, token: bytes) -> bytes:
    """A broadcast of the shortest size, so that every switch floods it; its EtherType means nothing to anybody."""
    mac_of_nic = ethernet.mac_bytes(mac)
    return ethernet.padded(ethernet.frame(ethernet.BROADCAST, mac_of_nic, ethernet.EXPERIMENTAL, token, tags))
