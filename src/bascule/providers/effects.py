"""How a part of a host's state is seen and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from msgspec import Struct, field

from bascule.host.live import HERE, LiveHost
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.policy.guards.counters import StoppedFrames
from bascule.providers.protocol import KeptSwitches
from bascule.system.net.netns import Namespace


class ObserveScope(Struct, frozen=True, kw_only=True):
    """What to look at, and where.

    ``where`` is the host that is looked at, ``sysctls`` are paths below /proc/sys. ``state`` is Bascule's folder for
    this host, None where nothing of Bascule's own servers is to be looked at. ``driver``
    names who runs the guests: ``libvirt``, ``qemu``, ``none``, or "" for whoever is there; ``uri`` is libvirt's.
    ``known`` are the parts of a checkpoint: a provider that has one there looks again, whatever else is asked.
    ``seen`` has what the providers before
    this one have read. ``parameters`` gives further paths below /proc/sys from that, of the taps that guests have, and
    ``further`` from the links that are there.
    ``notes`` takes what the reader of a plan should know of a part that could not be seen; ``faults``, where it is
    given, what is wrong with one that cannot be seen, which is then left out.
    """

    site: Site | None = None
    host: Host | None = None
    where: LiveHost = HERE
    sysctls: tuple[str, ...] = ()
    state: Path | None = None
    driver: str = "none"
    uri: str | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    seen: HostState = HostState()
    parameters: Callable[[HostState], Iterable[str]] | None = None
    further: Callable[[HostState], Iterable[str]] | None = None
    notes: list[Note] = field(default_factory=list)
    faults: list[str] | None = None


class Effects(Protocol):
    """How a part is seen and changed."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """The programs that ``read`` wants the output of.

        Those of all providers run side by side, while the site file is read.
        """

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Any:
        """The part as it is, from the programs' output and from what it asks itself; None leaves no entry.

        ``texts`` waits for the programs: what takes time of its own is better done before.

        Raises BasculeError where it cannot be seen and was asked for by name.
        """

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Run the commands in order and stop at the first that fails; what somebody should know.

        A command says all that it takes: connection, names and texts stand in its words and its input. ``keep`` are
        descriptors that a program inherits: the lock holds as long as one of them still runs.
        Raises CommandFailed or NotPermitted with the change's subject and action and the reason.
        """

    def ports_came(self, namespace: Namespace | None) -> None:
        """Others have made or removed ports of its bridges. Raises CommandFailed or NotPermitted."""


class SwitchEffects(Effects, Protocol):
    """How the bridges of somebody who keeps his own are seen."""

    time_to_forwarding_s: ClassVar[
        float
    ]  # how long a port of theirs that comes up passes no frame, where they speak STP

    def look(self, namespace: Namespace | None) -> KeptSwitches | None:
        """The part as it is now; None where nobody keeps any."""

    def rules(self, namespace: Namespace | None, part: Any) -> Mapping[str, tuple[LoadedRule, ...]]:
        """The rules of each bridge that does more than to learn, whoever made them."""

    def passes(self, bridge: str, flow: str) -> bool | None:
        """Whether a frame passes a bridge's rules, as their provider says; None where he says neither."""

    def stopped(self, namespace: Namespace | None) -> Iterable[StoppedFrames]:
        """What the guards have stopped. Raises CommandFailed or NotPermitted."""

    def tree_states(self, namespace: Namespace | None) -> Iterable[tuple[str, str, str]]:
        """Bridge, port and state (by bridge(8)) of each port that speaks STP or RSTP."""

    def learned(self, namespace: Namespace | None) -> Iterable[tuple[str, str, int, str, float]]:
        """What they have learned: bridge, port, VLAN (0 of what bears no tag), MAC, and its age in seconds."""

    def masters(self, namespace: Namespace | None) -> Mapping[str, str]:
        """The bridge of each port, where they can be asked."""


class PlainEffects:
    """What most effects answer alike: no program is needed for a look, and a command is a call of its tool."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """None."""
        return ()

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Call by call. Raises CommandFailed with the tool's own words."""
        for command in batch.commands:
            where.run((command.tool, *command.words), keep=keep)
        return ()

    def ports_came(self, namespace: Namespace | None) -> None:
        """It has no bridges."""


def is_enabled(unit_path: str, target: str) -> bool:
    """Whether a target of systemd starts a unit, or would if there were one: `systemctl disable` leaves the file."""
    path = Path(unit_path)
    return not path.exists() or (path.parent / f"{target}.wants" / path.name).is_symlink()


def text_of_file(path: str) -> str | None:
    """What stands in a file; None where it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return None
