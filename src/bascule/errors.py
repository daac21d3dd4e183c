"""What can go wrong, as data for machines and a sentence with a hint for people.

::

    BasculeError            exit 1   something failed, or a check did not hold
     ├─ UsageFault          exit 64  the command line is wrong
     ├─ SiteFault           exit 65  the site file is wrong
     ├─ TakenBack           exit 75  the change was undone
     ├─ NotPermitted        exit 77  the kernel or the file system said no
     ├─ MissingTool         exit 1   a program or a kernel feature is not here
     └─ CommandFailed       exit 1   a program that was run reported an error
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self

ALSO_SHOWN = 5  # further places of a problem that people are shown


class Place(NamedTuple):
    """A position in a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def bracketed(self) -> str:
        """File and line at the end of a sentence; nothing where there is no file."""
        return f" ({self.file}:{self.line})" if self.file else ""


class Problem(NamedTuple):
    """One thing that is wrong.

    ``code`` is stable and meant for machines; ``message`` is one sentence without a full stop; ``also`` names
    further places that belong to the same problem (the other of two equal addresses), each with a label.
    """

    code: str
    message: str
    place: Place | None = None
    hint: str | None = None
    also: tuple[tuple[str, Place], ...] = ()

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.place is not None:
            lines.append(f" --> {self.place}")
        lines += [f" --> {place} {label}" for label, place in self.also[:ALSO_SHOWN]]
        if len(self.also) > ALSO_SHOWN:
            lines.append(f" --> and {len(self.also) - ALSO_SHOWN} more places")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    @property
    def words(self) -> str:
        """The sentence with its hint, for a list that has a line for it."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def as_json(self) -> dict[str, object]:
        """The problem for ``--json``."""
        data: dict[str, object] = {"code": self.code, "message": self.message}
        if self.place is not None:
            data |= {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        if self.also:
            data["also"] = [
                {"label": label, "file": p.file, "line": p.line, "column": p.column} for label, p in self.also
            ]
        if self.hint:
            data["hint"] = self.hint
        return data


class BasculeError(Exception):
    """One or more problems that end a verb; nothing of a traceback ever reaches the user.

    ``index`` is the number of the command that failed among those that were to be run, where those before it are done.
    """

    exit_status: ClassVar[int] = 1
    index: int | None = None

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n\n".join(str(problem) for problem in self.problems)

    @classmethod
    def of(cls, code: str, message: str, *, place: Place | None = None, hint: str | None = None) -> Self:
        """An error with a single problem."""
        return cls(Problem(code=code, message=message, place=place, hint=hint))


class UsageFault(BasculeError):
    """The command line is wrong."""

    exit_status = 64


class SiteFault(BasculeError):
    """The site file is wrong; every problem of the failing phase is in it."""

    exit_status = 65


class TakenBack(BasculeError):
    """The change was made and undone again."""

    exit_status = 75


class NotPermitted(BasculeError):
    """The kernel or the file system refused for want of privilege."""

    exit_status = 77


class MissingTool(BasculeError):
    """A program or a kernel feature that the verb needs is not here."""


class CommandFailed(BasculeError):
    """A program that was run reported an error."""


def internal_error(fault: Exception) -> str:
    """What is said of a fault of the program itself."""
    return f"internal error in Bascule: {type(fault).__name__}: {fault}"
