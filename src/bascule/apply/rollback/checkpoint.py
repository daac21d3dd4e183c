"""What is written and brought to the disk before the first change, and what became of it since.

A checkpoint is a folder: ``checkpoint.json`` (never changed), ``applied.json`` (the state right after the change) and
``journal`` (a line for everything that happened to it; the last one says how it stands).
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, convert, field, to_builtins
from msgspec.json import decode, encode
from msgspec.structs import replace

from bascule.apply.state_directory import StateDirectory, refused
from bascule.errors import BasculeError
from bascule.model.dhcp.client import Handover
from bascule.model.state import HostState
from bascule.providers.json import from_json, to_json
from bascule.system import boot
from bascule.system.disk import durable

if TYPE_CHECKING:
    from bascule.apply.rollback.files import FileBackup
    from bascule.providers.old_parts import OldParts

SCHEMA = "bascule/checkpoint/1"
BESIDES, MADE = "besides.json", "besides-made.json"  # of version 0.1.0: the parts of guests and servers
JOURNAL = "journal"
FILES = ("checkpoint.json", "facts.json", "applied.json", BESIDES, MADE, JOURNAL)
KEPT = 20  # finished checkpoints that stay for the curious


class Status(StrEnum):
    """How a checkpoint stands."""

    ARMED = "armed"  # written; nothing has been changed yet
    CHANGING = "changing"  # commands run, or ran when something ended them
    APPLIED = "applied"  # all done; waits for `bascule confirm`
    CONFIRMED = "confirmed"
    TAKING_BACK = "taking-back"
    TAKEN_BACK = "taken-back"
    FAILED = "failed"  # the rollback is not complete
    DROPPED = "dropped"  # given up before anything was changed

    @property
    def words(self) -> str:
        """The same for people: what the change was when somebody takes it back."""
        told = {Status.APPLIED: "not confirmed", Status.CHANGING: "half made", Status.FAILED: "taken back in part"}
        return told.get(self, str(self).replace("-", " "))

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to confirm it or take it back."""
        return self not in {Status.CONFIRMED, Status.TAKEN_BACK, Status.DROPPED}


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What it takes to go back. Times named ``boottime_s`` count from the boot called ``boot_id``."""

    before: HostState
    wanted: HostState
    site: str = ""
    site_path: str = ""
    boot_id: str = ""
    boottime_s: float = 0.0
    made_at: float = 0.0  # the wall clock's seconds, for people only
    files: tuple[FileBackup, ...] = ()
    leases: tuple[Handover, ...] = ()  # DHCP clients that go on elsewhere
    moved: frozenset[str] | None = None  # links that a hypervisor moved, where version 0.1.0 wrote them down

    @classmethod
    def now(cls, **values: Any) -> Checkpoint:
        """A checkpoint of this moment."""
        return cls(boot_id=boot.boot_id(), boottime_s=boot.boottime_s(), made_at=time.time(), **values)


class ChangeFacts(Struct, frozen=True, kw_only=True):
    """The little that later plans need to know, in a file of its own: a checkpoint may be large.

    ``added`` are the addresses on each link that Bascule has put there, by this change or an earlier one, ``named``
    those that its site file names there, ``isolated`` the guests' ports that it has isolated, ``parts`` the providers
    beside the kernel and nft that the change knows, ``macs`` those of the links that Bascule has made, ``kept`` whether
    files make these at each start, ``routed`` its routes: link, destination, gateway and table, ``found`` the host's
    own among those that a site file named,
    ``altered`` what it has set on links of others: as it was found and as it was set, by property or parameter,
    ``ports`` which of them it has made ports, and of what.
    """

    site: str
    host: str
    added: Mapping[str, Sequence[str]] = field(default_factory=dict)
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    isolated: Sequence[str] = ()
    macs: Mapping[str, str] = field(default_factory=dict)
    kept: bool = False
    parts: Sequence[str] = ()
    routed: Sequence[tuple[str, str, str, str]] = ()
    found: Sequence[tuple[str, str, str]] = ()
    altered: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)


class LogEntry(Struct, frozen=True, rename={"watchdog": "guard"}):  # so version 0.1.0 wrote it
    """The last word about a checkpoint."""

    status: Status
    deadline_s: float | None = None  # on the boot time clock
    boot_id: str = ""
    at: float = 0.0  # wall clock, for people
    by: str = ""
    watchdog: dict[str, Any] | None = None  # who takes it back: {"kind": "process", "pid": …} or {"kind": "systemd", …}
    left: tuple[str, ...] = ()  # what still differs from before, of a failed way back
    kept: tuple[str, ...] = ()  # what others changed meanwhile, of a way back


class Folder(Struct, frozen=True):
    """A checkpoint on the disk."""

    path: Path

    @property
    def number(self) -> int:
        """Checkpoints are counted; the highest is the last."""
        return int(self.path.name)

    @property
    def state(self) -> Path:
        """Bascule's folder for the host."""
        return self.path.parent.parent

    @property
    def log(self) -> Path:
        """What the dead-man said."""
        return self.path / "deadman.log"

    def read(self) -> Checkpoint:
        """The checkpoint. Raises BasculeError when the file is damaged."""
        one, kept = _read(self.path / "checkpoint.json"), _document(self.path / BESIDES)
        old = self._old_parts(kept)
        if old is None:
            return one
        before, wanted = replace(one.before, parts=old.before), replace(one.wanted, parts=old.wanted)
        moved = frozenset(tap for part in kept.values() for tap in part.get("taps", ()))
        return replace(one, before=before, wanted=wanted, moved=moved)

    def _old_parts(self, kept: Mapping[str, Any]) -> OldParts | None:
        """The parts of a change of version 0.1.0."""
        if not kept:
            return None
        from bascule.providers.old_parts import parts

        try:
            made = _document(self.path / MADE)
        except BasculeError:  # a disk lost it; the way back is decided without it
            made = {}
        return parts(kept, made)

    def facts(self) -> ChangeFacts | None:
        """What later plans need to know; None where it cannot be read."""
        try:
            return decode((self.path / "facts.json").read_bytes(), type=ChangeFacts)
        except (OSError, ValueError):
            return None

    def applied(self) -> HostState | None:
        """The state right after the change, if it got that far."""
        try:
            state = _state((self.path / "applied.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # written whole or not at all; a damaged disk must not stop the way back
        old = self._old_parts(_document(self.path / BESIDES))
        return state if old is None or old.applied is None else replace(state, parts=old.applied)

    @property
    def is_whole(self) -> bool:
        """Whether the change was made to its end."""
        return (self.path / "applied.json").exists()

    def write_applied(self, state: HostState) -> None:
        """Keep what the change led to."""
        durable.write_whole(self.path / "applied.json", _dump(to_json(state)))

    def entries(self) -> list[LogEntry]:
        """All that happened, oldest first."""
        return convert(durable.records(self.path / JOURNAL), list[LogEntry])

    def last(self) -> LogEntry | None:
        """How it stands; None when it was never finished writing, and then nothing was changed."""
        return _last(self.entries())

    def note(self, status: Status, **values: Any) -> None:
        """Write down what happened. Raises OSError."""
        record = {"status": str(status), "at": time.time(), "boot_id": boot.boot_id(), **values}
        durable.append(self.path / JOURNAL, record)

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the kernel that was changed still runs."""
        entry = self.last()
        return entry is not None and self.entries()[0].boot_id == boot.boot_id()


def last_of(records: Iterable[dict[str, Any]]) -> LogEntry | None:
    """How a change stands by the records of its journal; None when there are none."""
    return _last(convert(list(records), list[LogEntry]))


def _last(entries: Iterable[LogEntry]) -> LogEntry | None:
    found: LogEntry | None = None
    for entry in entries:
        kept = entry if entry.watchdog is not None or found is None else replace(entry, watchdog=found.watchdog)
        late = found is not None and kept.deadline_s is None
        found = replace(kept, deadline_s=found.deadline_s) if late and found else kept
    return found


def write(place: StateDirectory, checkpoint: Checkpoint, facts: ChangeFacts, *, deadline_s: float) -> Folder:
    """Bring a checkpoint to the disk, complete with its journal.

    Raises BasculeError where that cannot be done; nothing has been changed then.
    """
    place.make()
    folder = Folder(place.checkpoints / f"{_next(place):06}")
    try:
        durable.make_folder(folder.path)
        files = {"checkpoint.json": _dump(_to_json(checkpoint)), "facts.json": _dump(to_builtins(facts))}
        durable.fill_folder(folder.path, files, JOURNAL)
        folder.note(Status.ARMED, deadline_s=deadline_s)
    except OSError as error:
        _remove(folder)
        raise refused(folder.path, error) from error
    _prune(place)
    return folder


def rewrite(folder: Folder, checkpoint: Checkpoint) -> None:
    """Another checkpoint in the place of one that nothing was changed for yet. Raises OSError."""
    durable.write_whole(folder.path / "checkpoint.json", _dump(_to_json(checkpoint)))


def folders(place: StateDirectory) -> Iterator[Folder]:
    """All checkpoints, the last one first."""
    try:
        names = sorted((entry.name for entry in place.checkpoints.iterdir() if entry.name.isdigit()), reverse=True)
    except FileNotFoundError:
        return
    except NotADirectoryError as error:  # BASCULE_STATE_DIR names a file
        raise refused(place.checkpoints, error) from error
    for name in names:
        yield Folder(place.checkpoints / name)


def newest(place: StateDirectory, but: Container[Status] = (Status.DROPPED,)) -> tuple[Folder, LogEntry] | None:
    """The last checkpoint, with how it stands; by default of those that anything was changed for, taken back or not."""
    for folder in folders(place):
        entry = folder.last()
        if entry is not None and entry.status not in but:
            return folder, entry
    return None


def latest(place: StateDirectory) -> tuple[Folder, LogEntry] | None:
    """The last one that is not taken back."""
    return newest(place, but=(Status.TAKEN_BACK, Status.DROPPED))


def _next(place: StateDirectory) -> int:
    return max((folder.number for folder in folders(place)), default=0) + 1


def _prune(place: StateDirectory) -> None:
    for folder in list(folders(place))[KEPT:]:
        entry = folder.last()
        if entry is None or not entry.status.is_open:
            _remove(folder)


def _remove(folder: Folder) -> None:
    durable.remove_folder(folder.path)


def _document(path: Path) -> dict[str, Any]:
    """A JSON file of the checkpoint, empty where there is none. Raises BasculeError when it is damaged."""
    try:
        found: dict[str, Any] = _load(path.read_bytes())
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BasculeError.of("CHECKPOINT-DAMAGED", f"'{path}' cannot be read: {error}") from error


def _dump(document: dict[str, Any]) -> bytes:
    try:
        return encode(document)
    except UnicodeEncodeError:  # a path with bytes that are no UTF-8
        return json.dumps(document, separators=(",", ":")).encode()


def _load(content: bytes) -> Any:
    """A document that ``_dump`` made: a large host's at a fifth of the time that json takes. Raises ValueError."""
    try:
        return decode(content)
    except ValueError:
        return json.loads(content)


_PLAIN = ("site", "site_path", "boot_id", "boottime_s", "made_at")


def _to_json(one: Checkpoint) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **{name: getattr(one, name) for name in _PLAIN},
        "leases": to_builtins(one.leases),
        "files": to_builtins(one.files),  # bytes in base64
        "before": to_json(one.before),
        "wanted": to_json(one.wanted),
    }


@lru_cache(maxsize=1)  # an undo shows what it will do, and then does it: a large host's state takes long to read
def _checkpoint(content: bytes) -> Checkpoint:
    from bascule.apply.rollback.files import FileBackup

    data = _load(content)
    if data["schema"] != SCHEMA:
        raise ValueError(f"it is not a '{SCHEMA}' document")
    return Checkpoint(
        before=from_json(data.pop("before")),
        wanted=from_json(data.pop("wanted")),
        files=convert(data["files"], tuple[FileBackup, ...]),
        leases=convert(data.get("leases", ()), tuple[Handover, ...]),
        **{name: data[name] for name in _PLAIN if name in data},
    )


@lru_cache(maxsize=1)
def _state(content: bytes) -> HostState:
    return from_json(_load(content))


def _read(path: Path) -> Checkpoint:
    try:
        return _checkpoint(path.read_bytes())
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BasculeError.of(
            "CHECKPOINT-DAMAGED",
            f"'{path}' cannot be read: {error}",
            hint="the state before is lost with it; 'bascule plan' shows what the site file would change",
        ) from error
