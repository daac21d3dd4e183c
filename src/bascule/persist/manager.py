"""The configuration systems that were found on a host, and what they are found by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig


class Manager(Struct, frozen=True, kw_only=True):
    """A configuration system that is there.

    ``enabled`` says that it starts at boot, ``running`` that it runs now, ``configures`` that there are files of
    its own that name links other than the loopback; ``evidence`` is what was seen.
    """

    dialect: str
    service: str
    enabled: bool = False
    running: bool = False
    configures: bool = False
    evidence: tuple[str, ...] = ()

    @classmethod
    def seen(cls, dialect: str, service: str, *, link: str, running: str = "", files: Sequence[str] = ()) -> Manager:
        """By what starts it at boot (``link``), what shows that it runs, and the files that it configures links by."""
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        evidence = [f"starts at boot: {link}"] if link else []
        evidence += [f"runs: {running}"] if running else []
        evidence += [f"configures: /{files[0]}{more}"] if files else []
        return cls(
            dialect=dialect,
            service=service,
            enabled=bool(link),
            running=bool(running),
            configures=bool(files),
            evidence=tuple(evidence),
        )

    def __str__(self) -> str:
        return f"{self.dialect} ({self.service}): {'; '.join(self.evidence)}"


class Managers(Struct, frozen=True):
    """All that were found."""

    found: tuple[Manager, ...] = ()

    @property
    def candidates(self) -> tuple[Manager, ...]:
        """Those that would act at boot; among several, those that have something to configure."""
        active = tuple(m for m in self.found if m.enabled or m.running)
        busy = tuple(m for m in active if m.configures)
        return busy or active

    @property
    def rivals(self) -> tuple[Manager, ...]:
        """More than one that both configure links: they will fight."""
        return self.candidates if len(self.candidates) > 1 else ()

    def choose(self, wanted: str | None = None) -> str | None:
        """The dialect to persist in: the one that is asked for, else the only one; None where there is none.

        Raises BasculeError where two are at work and none is asked for.
        """
        if wanted is not None:
            return None if wanted == "none" else wanted
        if self.rivals:
            told = ", ".join(m.dialect for m in self.rivals)
            raise BasculeError.of(
                "MANAGERS",
                f"two configuration systems manage this host's network: {told}",
                hint="write 'persist: NAME' under the host in the site file, and turn the other one off; "
                + " | ".join(str(m) for m in self.rivals),
            )
        return self.candidates[0].dialect if self.candidates else None


class Root(Protocol):
    """The files of a host, below any root; paths and patterns have no leading slash."""

    def files(self, *patterns: str, but: str = r"$^") -> list[str]:
        """What fits the patterns, without what the regular expression ``but`` finds."""

    def text(self, path: str) -> str:
        """What stands in a file; nothing where it cannot be read."""

    def there(self, *paths: str) -> str:
        """The first that exists, with its leading slash, or nothing."""

    def enabled(self, *units: str) -> str:
        """The first of these links below /etc/systemd/system that starts a unit at boot, or nothing."""

    def target(self, path: str) -> str:
        """The name of the file that a symbolic link leads to, or nothing."""

    def runs(self, program: str, *traces: str) -> str:
        """What shows that a daemon runs: on this machine its process, in another root what it left below /run."""


Ours = Callable[[], Mapping[IfName, LinkConfig]]  # the links that files of ours configure in a dialect


class Takeover:
    """How a manager takes over links that a change has made already; this one has nothing to be told.

    What could not be done comes back in words: the change stands, whatever a manager answers.
    """

    def generate(self, paths: Collection[str]) -> tuple[list[str], tuple[str, ...]]:
        """Let it make from changed files what others read; what could not be done, and where it writes to."""
        del paths
        return [], ()

    def resume_boot(self, paths: Collection[str]) -> list[str]:
        """The files were put back while the machine starts: do what it would have done by now with them."""
        del paths
        return []

    def follow(self, paths: Collection[str], ours: Ours) -> list[str]:
        """Let it know changed files, and take the links that they configure for its own as they are."""
        del paths, ours
        return []

    def paused(self, ours: Ours, touched: Collection[str] | None, *, back: bool) -> AbstractContextManager[bool]:
        """It does not meddle while links are changed, ``touched`` or all of ours; whether that is needed at all.

        ``back`` says that a change is taken back.
        """
        del ours, touched, back
        return nullcontext(False)

    def client_id(self, link: IfName) -> ClientId | None:
        """Who a link is to its DHCP server at this moment; None where it keeps no lease on the link."""
        del link
        return None


def concerns(paths: Iterable[str], folders: tuple[str, ...]) -> bool:
    """Whether one of the files lies in one of the folders, whose names end in a slash."""
    return any(path.startswith(folders) for path in paths)
