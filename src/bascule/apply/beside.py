"""What belongs to a change beside the kernel's part: whoever runs the guests, the servers of virtual networks.

Each part says what it takes to go back before anything is changed (data, written with the checkpoint), is made after
the kernel's part, and is taken back by that data alone: by `bascule undo`, by the dead-man, after a crash. What only
one kind of part needs is imported by it: the dead-man of a change of bridges loads nothing of libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bascule.model.state import HostState
from bascule.plan.change import Change, Note

Way = tuple[tuple[str, ...], tuple[str, ...]]  # what was kept for others, and what went wrong


class Beside(Protocol):
    """A part of a change beside the kernel's."""

    @property
    def kind(self) -> str:
        """By which its way back is found."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes as the plan prints them."""

    @property
    def moved_taps(self) -> frozenset[str]:
        """Taps that this part puts on their bridges, and the kernel's part does not."""

    @property
    def own_links(self) -> frozenset[str]:
        """Links that this part makes and alters, so that the kernel's part does not look for them."""

    def keep(self) -> dict[str, Any]:
        """What it takes to go back, of this moment, as JSON. Raises BasculeError."""

    def make(self, wanted: HostState) -> tuple[Note, ...]:
        """Make it. Raises BasculeError; whoever calls it takes everything back then."""

    def made(self) -> dict[str, Any]:
        """The same things right after the change."""


def load(kinds: Mapping[str, Any]) -> None:
    """Import what the way back of these kinds needs, while there is time."""
    if "guests" in kinds:
        from bascule.guests import part_back

        part_back.load()
    if "servers" in kinds:
        from bascule.guests import servers  # noqa: F401


def lasts(kept: Mapping[str, Any]) -> bool:
    """Whether anything of them outlives a restart: definitions of guests, units of networks."""
    return "guests" in kept or bool(kept.get("servers", {}).get("lasting"))


def files_back(kept: Mapping[str, Any]) -> Way:
    """Put back those of their files that systemd reads when the machine starts; the paths, and what went wrong."""
    if "servers" not in kept:
        return (), ()
    from bascule.guests import servers

    return servers.files_back(kept["servers"])


def names(kept: Mapping[str, Any]) -> tuple[str, ...]:
    """What the parts are about, a line for each kind of thing, for people."""
    found: dict[str, list[str]] = {}
    for kind, part in kept.items():
        if kind == "guests":
            there = part["guests"]
            found["guests"] = [*(x if isinstance(x, str) else x["name"] for x in there), *part["made"]]
            found["networks of libvirt"] = list(part.get("networks", ()))
        elif kind == "servers":
            found["dnsmasq of"] = list(part["running"])
    return tuple(f"{words} {', '.join(some)}" for words, some in found.items() if some)


def go_back(kept: Mapping[str, Any], made: Mapping[str, Any], *, rebooted: bool) -> Way:
    """Take parts back, the last one first; a part that fails does not stop the others."""
    words: list[str] = []
    faults: list[str] = []
    for kind in reversed(list(kept)):
        try:
            more, wrong = _one(kind, kept[kind], made.get(kind), rebooted=rebooted)
        except Exception as error:  # whatever it is: the others, and the kernel, must go back
            more, wrong = (), (f"{kind}: {error}",)
        words += more
        faults += wrong
    return tuple(words), tuple(faults)


def _one(kind: str, kept: Mapping[str, Any], made: Mapping[str, Any] | None, *, rebooted: bool) -> Way:
    if kind == "guests":
        from bascule.guests import part_back

        return part_back.go_back(kept, made, rebooted=rebooted)
    if kind == "servers":
        from bascule.guests import servers

        return servers.go_back(kept, rebooted=rebooted)
    return (), (f"'{kind}' is unknown to this version of Bascule",)
