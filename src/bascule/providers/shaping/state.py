"""Limits of guest NICs as tc keeps them, and the words that make them; pure.

What goes to a guest waits in a token bucket at its tap. What comes from it has no queue there, so it is led through a
device of its own (ifb), which has one: it is shaped as well, where a policer would make TCP fall far below the figure.
That device also says that a limit is Bascule's, whichever ways it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from bascule.model.guarding import Bandwidth, rate_words
from bascule.model.values import IfName
from bascule.providers.boot_files import HEADER

UDEV_FILE = "/etc/udev/rules.d/71-bascule-limits.rules"
LEAST_BURST, BURST_S = 10_240, 0.01  # bytes, and seconds at the full rate: 2.7 % of 3 s at 1Mbit, 0.3 % from 10Mbit on
LATENCY = "50ms"  # how long a frame may wait
PREFIX = "lim-"
ROOT, INGRESS = "root", "ffff:"


class Shaping(Struct, frozen=True, kw_only=True):
    """The limit of each tap; ``udev`` is the text of udev's rule, which sets them when a tap appears."""

    limits: Mapping[str, Bandwidth] = field(default_factory=dict)
    udev: str | None = None


def queue_name(tap: str) -> IfName:
    """The device through which a tap's frames from the guest are led."""
    return IfName(PREFIX + hashlib.sha256(tap.encode()).hexdigest()[:8])


def is_queue(entry: Mapping[str, Any]) -> bool:
    """Whether a link of iproute2's JSON is such a device."""
    kind = entry.get("linkinfo", {}).get("info_kind")
    return kind == "ifb" and str(entry.get("ifname", "")).startswith(PREFIX)


def bucket(device: str, rate: int) -> tuple[str, ...]:
    """Tc's words for a token bucket at a device."""
    burst = max(LEAST_BURST, int(rate / 8 * BURST_S))
    return ("qdisc", "replace", "dev", device, ROOT, "tbf", "rate", rate_words(rate).lower(), "burst", f"{burst}b",
            "latency", LATENCY)  # fmt: skip


def setting(tap: str, limit: Bandwidth) -> Iterator[tuple[str, ...]]:
    """The calls of ip and tc that set a limit on a tap without one, or where half of one is left."""
    queue = queue_name(tap)
    yield "ip", "link", "add", queue, "type", "ifb"
    yield "ip", "link", "set", "dev", queue, "alias", f"bascule:limit {tap}", "up"
    if limit.down is not None:
        yield "tc", *bucket(tap, limit.down)
    if limit.up is not None:
        yield "tc", *bucket(queue, limit.up)
        yield "tc", "qdisc", "replace", "dev", tap, "ingress"
        yield ("tc", "filter", "replace", "dev", tap, "parent", INGRESS, "protocol", "all", "prio", "1",
               "handle", "800::800", "u32", "match", "u32", "0", "0",
               "action", "mirred", "egress", "redirect", "dev", queue)  # fmt: skip


def clearing(tap: str, limit: Bandwidth) -> Iterator[tuple[str, ...]]:
    """The calls that take a limit away again."""
    if limit.up is not None:
        yield "tc", "qdisc", "del", "dev", tap, "ingress"
    if limit.down is not None:
        yield "tc", "qdisc", "del", "dev", tap, ROOT
    yield "ip", "link", "del", "dev", queue_name(tap)


def read_limits(
    listing: Iterable[Mapping[str, Any]], actions: Iterable[Mapping[str, Any]], links: Iterable[str]
) -> dict[str, Bandwidth]:
    """Our limits from tc's JSON of all queues and of the actions of filters that lead to another link, by tap.

    What a guest sends has none where its tap has no ingress, or where no filter leads it through the tap's device.
    """
    told = list(listing)
    led = {one["dev"] for one in told if one.get("kind") == "ingress"}
    used = {action.get("to_dev") for one in actions for action in one.get("actions", ())}
    rates = {
        str(one["dev"]): 8 * int(one["options"]["rate"])
        for one in told
        if one.get("kind") == "tbf" and one.get("root") and "rate" in one.get("options", {})
    }
    there = set(links)
    queues = {name: queue for name in sorted(there) if (queue := queue_name(name)) in there}
    return {
        name: Bandwidth(up=rates.get(queue) if name in led and queue in used else None, down=rates.get(name))
        for name, queue in queues.items()
    }


def udev_text(limits: Mapping[str, Bandwidth]) -> str | None:
    """The limits are set when a tap appears, whoever makes it and when: at boot, plugged in again, after a move."""
    if not limits:
        return None
    lines = [HEADER + "\n"]
    for tap, limit in sorted(limits.items()):
        match = f'SUBSYSTEM=="net", KERNEL=="{tap}"'
        runs = [f'RUN+="/sbin/{" ".join(words)}"' for words in setting(tap, limit)]
        lines.append(f'ACTION=="add", {match}, {", ".join(runs)}\n')
        lines.append(f'ACTION=="remove", {match}, RUN+="/sbin/ip link del dev {queue_name(tap)}"\n')
    return "".join(lines)
