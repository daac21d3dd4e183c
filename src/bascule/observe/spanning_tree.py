"""Ports that the spanning tree protocol does not let forward yet, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.system.clock import Progress, unseen
from bascule.system.net.netns import Namespace
from bascule.system.run import rows

ON_ITS_WAY = {"listening", "learning"}  # one forward delay each (802.1D)
MARGIN_S = 2.5  # a hello and a half: the timers run from when the bridge takes note of the carrier
PAUSE_S = 0.2


class SettlingPort(Struct, frozen=True):
    """A port that passes no frame yet; ``state`` is listening or learning."""

    bridge: str
    port: str
    state: str

    def __str__(self) -> str:
        return f"{self.port} of {self.bridge} is {self.state}"


def times_to_forwarding(bridges: Iterable[str], namespace: Namespace | None = None) -> dict[str, float]:
    """Those of the bridges that speak STP, and for how many seconds a port that comes up passes no frame there."""
    wanted = set(bridges)
    if not wanted:
        return {}
    found = {}
    for entry in rows(("ip", "-j", "-d", "link", "show", "type", "bridge"), namespace=namespace):
        options = entry.get("linkinfo", {}).get("info_data", {})
        if entry.get("ifname") in wanted and options.get("stp_state"):
            found[entry["ifname"]] = 2 * options.get("forward_delay", 1500) / 100
    for effects in (one.effects() for one in SWITCH_PROVIDERS):
        found |= {
            bridge: effects.time_to_forwarding_s for bridge, _, _ in effects.tree_states(namespace) if bridge in wanted
        }
    return found


def settling_ports(bridges: Iterable[str], namespace: Namespace | None = None) -> tuple[SettlingPort, ...]:
    """The ports of these bridges that are listening or learning now."""
    wanted = set(bridges)
    return tuple(port for port in _ports(namespace) if port.bridge in wanted and port.state in ON_ITS_WAY)


def _ports(namespace: Namespace | None) -> Iterator[SettlingPort]:
    """All ports of bridges, whatever their state."""
    for entry in rows(("bridge", "-j", "link", "show"), namespace=namespace):
        yield SettlingPort(entry.get("master", ""), entry["ifname"], entry.get("state", ""))
    for provider in SWITCH_PROVIDERS:
        yield from (SettlingPort(*one) for one in provider.effects().tree_states(namespace))


def _timers(namespace: Namespace | None) -> dict[str, float]:
    """For how many seconds each port of the kernel's bridges still is in its state."""
    entries = rows(("ip", "-j", "-d", "link", "show", "type", "bridge_slave"), namespace=namespace)
    slaves = {entry["ifname"]: entry.get("linkinfo", {}).get("info_slave_data", {}) for entry in entries}
    return {name: float(data.get("forward_delay_timer", 0)) for name, data in slaves.items()}


class Settled(Struct, frozen=True, kw_only=True):
    """How it went: the ports that were waited for as they were seen first, and those that still pass no frame.

    ``states`` are those of all ports afterwards, where one was waited for.
    """

    seen: tuple[SettlingPort, ...] = ()
    left: tuple[SettlingPort, ...] = ()
    waited_s: float = 0.0
    states: Mapping[str, str] = field(default_factory=dict)

    def applied(self, state: HostState) -> HostState:
        """A state that was read before, with its ports as they are afterwards."""
        links = dict(state.links)
        for name, now in self.states.items():
            if (link := links.get(IfName(name))) is not None and link.facts.stp_port_state != now:
                links[link.name] = replace(link, facts=replace(link.facts, stp_port_state=now))
        return replace(state, links=links) if self.states else state

    def lines(self) -> Iterator[tuple[str, bool, str]]:
        """Each port that was waited for, whether it forwards now, and a sentence about it."""
        left = {port.port: port for port in self.left}
        for port in self.seen:
            if (now := left.get(port.port)) is not None:
                yield port.port, False, f"{now}: it passes no frame, after {self.waited_s:.0f} s"
            else:
                yield port.port, True, f"{port.port} of {port.bridge} was {port.state}, waited {self.waited_s:.0f} s"


def await_forwarding(
    bridges: Iterable[str], *, namespace: Namespace | None = None, progress: Progress = unseen
) -> Settled:
    """Wait until every port of these bridges has passed listening and learning.

    The time is two forward delays of the slowest bridge at most, and of the root that a bridge has heard meanwhile;
    longer where the timer of a port that was met began by a longer delay, which its bridge does not have any more.
    Where none speaks STP nothing is waited for.
    """
    times = times_to_forwarding(bridges, namespace)
    begun = time.monotonic()
    by_timers = 0.0  # when the last port is past its timer, as it was met
    seen: dict[str, SettlingPort] = {}
    left: tuple[SettlingPort, ...] = ()
    while times and (left := settling_ports(times, namespace)):
        fresh = {port.port: port for port in left if port.port not in seen}
        times = {name: max(times[name], now) for name, now in times_to_forwarding(times, namespace).items()}
        if fresh:
            timers, now_s = _timers(namespace), time.monotonic()
            still = {name: times[x.bridge] / 2 if x.state == "listening" else 0.0 for name, x in fresh.items()}
            by_timers = max(by_timers, *(now_s + timers.get(name, 0.0) + later for name, later in still.items()))
            seen |= fresh
        rest_s = max(begun + max(times.values(), default=0.0), by_timers) + MARGIN_S - time.monotonic()
        if rest_s <= 0:
            break
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        progress(f"waits for the spanning tree: {left[0]}{more}, {rest_s:.0f} s at most")
        time.sleep(PAUSE_S)
    waited_s = time.monotonic() - begun
    states = {port.port: port.state for port in _ports(namespace) if port.bridge} if seen else {}
    return Settled(seen=tuple(seen.values()), left=left, waited_s=waited_s, states=states)
