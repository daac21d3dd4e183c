"""What the providers share whose part is a few files that a unit of systemd reads when the machine starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct

from bascule.model.state import HostState
from bascule.plan.change import Command
from bascule.providers.files import SYMLINK, systemctl, write
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, ThreeWay

UNITS = "/etc/systemd/system"
MULTI_USER = "multi-user.target"  # what starts services with the machine
HEADER = "# Bascule writes this file and takes it away again"  # the mark of each


def theirs(text: str | None, word: str = HEADER) -> str | None:
    """What somebody else wrote where a file of Bascule's would stand: it stays there where none of ours is wanted.

    Ours has the ``word`` in it.
    """
    return None if text is None or word in text else text


class UnitFile(Struct, frozen=True, kw_only=True):
    """A unit of systemd: ``unit`` is the text of its file, None where there is none; ``enabled`` that it is started."""

    unit: str | None = None
    enabled: bool = True

    @property
    def starts(self) -> bool:
        """Whether it is started with the machine."""
        return self.unit is not None and self.enabled


class BootFiles(UnitFile, frozen=True, kw_only=True):
    """A unit with the files that it reads; ``units`` is the folder of units."""

    name: ClassVar[str]
    starter: ClassVar[str] = MULTI_USER  # the target that starts it

    units: str = UNITS

    @property
    def unit_path(self) -> str:
        """Where the unit stands."""
        return f"{self.units}/{self.name}"

    @property
    def texts(self) -> Mapping[str, tuple[str | None, int]]:
        """The files that belong to it, by path, each with its mode; None for one that is not there."""
        raise NotImplementedError


def unit_commands(path: str, old: UnitFile, new: UnitFile) -> Iterator[Command]:
    """What makes of one unit another that is there, and has it started with the machine, or not."""
    if new.unit is not None and old.unit != new.unit:
        yield write(path, new.unit)
        yield systemctl("daemon-reload")
    if new.unit is not None and (old.unit != new.unit or old.enabled != new.enabled):
        yield systemctl("enable" if new.enabled else "disable", path.rpartition("/")[2])


class BootFilesProvider(PlainProvider):
    """Nobody but Bascule writes these files."""

    drifts: ClassVar[bool] = True
    outlives_restart: ClassVar[bool] = True
    tools: ClassVar[frozenset[str]] = frozenset()  # files and systemctl are the tools of another provider

    def merge(self, change: ThreeWay) -> Merged:
        """As they were; what others have changed since is overwritten."""
        return Merged(part=self._as_in(change.before, change.now))

    def put_right(self, change: ThreeWay) -> Any:
        """As the change left it."""
        return self._as_in(change.wanted, change.now)

    def files(self, state: HostState) -> Mapping[str, tuple[str, int]]:
        """What systemd reads, and what its unit does."""
        part: BootFiles | None = self.part(state)
        if part is None:
            return {}
        found = {part.unit_path: (part.unit, 0o644), **part.texts}
        found |= {f"{part.units}/{part.starter}.wants/{part.name}": (part.unit_path, SYMLINK)} if part.starts else {}
        return {path: (text, mode) for path, (text, mode) in found.items() if text is not None}

    def _as_in(self, then: HostState, now: HostState) -> Any:
        """The part of an earlier state; where there was none and is none, it does not matter where it would be."""
        old, new = self.part(then), self.part(now)
        return new if old is None or (new is not None and old.unit is new.unit is None) else old
