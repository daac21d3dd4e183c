"""What several verbs share: the same arguments, the same words, the same widths."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from bascule.cli.show.colours import painted
from bascule.cli.show.output_style import output_style, plain
from bascule.guests.runtimes import RUNTIMES
from bascule.system.clock import Progress, unseen
from bascule.system.disk.durable import naming
from bascule.system.disk.files import STDOUT

if TYPE_CHECKING:
    from bascule.model.values import Service

F = TypeVar("F", bound=Callable[..., Any])

NARROWEST = 40  # columns; below that the lines are cut by the terminal


def site_argument(function: F) -> F:
    """The site file, as the positional argument."""
    return click.argument("site_file", metavar="SITE")(function)


def json_option(function: F) -> F:
    """One document for machines instead of words for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(function)


def host_option(function: F) -> F:
    """The host, where the file has several."""
    return click.option("--host", metavar="HOST", help="Which host, where the file has several.")(function)


def root_option(function: F) -> F:
    """The host's files, where they are not the machine's own."""
    words = "The files are those below DIR instead of the machine's own /etc."
    return click.option("--root", metavar="DIR", help=words)(function)


def here_option(function: F) -> F:
    """Insist that this machine is the host, whatever its name and hardware say."""
    words = "Treat this machine as that host, even if its name and hardware do not match."
    return click.option("--here", is_flag=True, help=words)(function)


def connect_option(function: F) -> F:
    """Libvirt's connection."""
    return click.option("--connect", metavar="URI", help="libvirt's connection (default: qemu:///system).")(function)


def driver_options(function: F) -> F:
    """Who runs the guests, and libvirt's connection."""
    driver = click.option(
        "--driver",
        type=click.Choice((*RUNTIMES, "none")),
        help="Who runs the guests. Default: libvirt where it answers; 'none' leaves guests and their networks out.",
    )
    return driver(connect_option(function))


def state_options(function: F) -> F:
    """Which state of the host is asked about, where it is not the running one."""
    words = "Ask about the state that the file declares, not the running one."
    wanted = click.option("--wanted", is_flag=True, help=words)
    return wanted(
        click.option("--observed", metavar="FILE", help="Ask about a saved state instead of this host.")(function)
    )


def asked_service(text: str, where: str) -> Service:
    """A service as somebody types it, by its name as well. Raises UsageFault, which says ``where`` it was typed."""
    from bascule.errors import UsageFault
    from bascule.site.parsers import Invalid, read_asked_service

    try:
        return read_asked_service(text)
    except Invalid as wrong:
        raise UsageFault.of("USAGE", f"{where}: {wrong}", hint=wrong.hint) from wrong


class _Given(click.types.StringParamType):
    """A word. An empty one is what the shell makes of a variable that is not set: `--root "$ROOT"` is not "/"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "" and not (param is not None and param.default == ""):
            self.fail("it is empty; is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


def refuse_empty(command: click.Command) -> click.Command:
    """Let no argument and no option of a verb, and of those below it, be an empty word."""
    for param in command.params:
        if isinstance(param.type, (click.types.StringParamType, click.Path)):
            param.type = _Given()
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        refuse_empty(inner)
    return command


class WholeHelp(click.Group):
    """A group whose list of verbs has the first sentence of each whole, where click cuts it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name and sentence, wrapped."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, first_sentence(each.help or "")) for name, each in sorted(self.commands.items())]
            )


def first_sentence(text: str) -> str:
    """What a verb does, of all that its help says."""
    first = " ".join(text.strip().partition("\n\n")[0].split())
    return first.partition(". ")[0].rstrip(".") + "."


def width() -> int:
    """The columns of the terminal, or 100 where there is none."""
    return max(NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, 120))


def _columns_of(terminal: TextIO) -> int:
    """Also where stdout goes into a pipe."""
    if "COLUMNS" in os.environ:
        return width()
    return max(NARROWEST, os.get_terminal_size(terminal.fileno()).columns or NARROW)


def wrapped(text: str, *, indent: int, columns: int) -> str:
    """Text in lines of at most ``columns``, each but the first indented; a number keeps its unit beside it."""
    if output_style().ascii:
        text = plain(text)
    room = max(columns - indent, 20)
    if len(text) <= room and text.isprintable():
        return text.strip(" ")
    lines, line = [], ""  # textwrap takes ten times as long over a plan's thousands of lines: 4 % of an apply
    for word in text.split():
        if line and len(line) + 1 + len(word) > room:
            before, _, number = line.rpartition(" ")
            kept = before and number[-1:].isdigit() and word.rstrip(".,;:)") in UNITS
            lines.append(before if kept else line)
            line = f"{number} {word}" if kept else word
        else:
            line = f"{line} {word}" if line else word
    return f"\n{' ' * indent}".join([*lines, line])


def table(rows: Iterable[tuple[str, ...]], *, indent: int, columns: int) -> list[str]:
    """Rows with aligned cells; the last cell is wrapped."""
    listed = list(rows)
    if not listed:
        return []
    last = len(listed[0]) - 1
    widths = [max(len(row[i]) for row in listed) for i in range(last)]
    offset = indent + sum(widths) + 2 * last
    if columns - offset < min(24, max(len(row[last]) for row in listed)):  # too narrow for cells side by side
        aligned = last > 1 and offset - 2 <= columns
        return [
            " " * indent
            + _cells(cells, indent, columns, aligned=aligned)
            + (f"\n{' ' * (indent + 2)}{wrapped(row[last], indent=indent + 2, columns=columns)}" if row[last] else "")
            for row in listed
            for cells in [[one for one in zip(row[:last], widths, strict=True) if aligned or one[0]]]
        ]
    return [
        (
            " " * indent
            + "".join(f"{row[i]:<{widths[i]}}  " for i in range(last))
            + wrapped(row[last], indent=offset, columns=columns)
        ).rstrip()
        for row in listed
    ]


def _cells(cells: Sequence[tuple[str, int]], indent: int, columns: int, *, aligned: bool) -> str:
    """The first cells of a row, on a line of their own, or on several where they are long."""
    if aligned:
        return "  ".join(f"{cell:<{wide}}" for cell, wide in cells).rstrip()
    return wrapped("  ".join(cell for cell, _ in cells), indent=indent, columns=columns)


NARROW = 80  # columns; what is printed to stdout in wider lines is left to the terminal
UNITS = frozenset({"s", "ms", "min", "h", "%", "bytes", "frames", "KiB", "MiB", "GiB", "Mbit/s"})
_WHOLE = re.compile(r"(fix|or) {4}|.*[│┊║═━●|]")  # commands that are copied, and pictures
_COPIED = re.compile(r"(?<!\w)'[^']+'(?!\w)|^--> \S+")  # a command or a name in a sentence, and a place


def fitted(text: str) -> str:
    """Text for a narrow terminal: a line that is longer goes on in the next, further to the right."""
    columns = width()
    return _in_lines(text, columns) if columns < NARROW and _has_columns() else text


def sentence(text: str) -> str:
    """A sentence in lines that fit the terminal; in a pipe, where a program may read it, it stays one line."""
    return wrapped(text, indent=0, columns=width()) if _has_columns() else text


def _has_columns() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def _in_lines(text: str, columns: int) -> str:
    return "\n".join(_fitted(line, columns) for line in text.split("\n"))


def _fitted(line: str, columns: int) -> str:
    if len(line) <= columns or _WHOLE.match(line):
        return line
    indent = min(len(line) - len(line.lstrip()), columns // 3)
    kept = _COPIED.sub(lambda word: word[0].replace(" ", "\0") if len(word[0]) < columns - 9 else word[0], line.strip())
    return " " * indent + wrapped(kept, indent=indent + 2, columns=columns).replace("\0", " ")


def stay() -> None:
    """For a verb that may run for days: look for cyclic garbage before there is much of it."""
    gc.set_threshold(10_000)


def say(text: str) -> None:
    """Progress and remarks: to stderr, so that stdout stays data."""
    shown = _in_lines(text, _columns_of(sys.stderr)) if sys.stderr.isatty() else fitted(text)
    print(painted(shown, sys.stderr), file=sys.stderr, flush=True)


def say_fine(text: str) -> None:
    """What goes well, to stderr; nothing with -q."""
    if not output_style().quiet:
        say(text)


def steps(*, as_json: bool) -> Progress:
    """Where a person watches: what goes on, in one line on stderr that is written over, and gone at the end."""
    if as_json or output_style().quiet or not sys.stderr.isatty():
        return unseen

    def tell(step: str) -> None:
        words = f"{step} …" if step else ""
        with contextlib.suppress(OSError):  # the terminal has gone; the work goes on
            sys.stderr.write("\r\x1b[K" + words[: width() - 1])
            sys.stderr.flush()

    return tell


def show(text: str) -> None:
    """Print to stdout, for people; nothing where there is nothing to say."""
    if text:
        put(painted(fitted(text), sys.stdout) + "\n")


def put(text: str) -> None:
    """Write text to stdout as it is.

    Not by click.echo, which takes a stream in ASCII for a mistake and writes UTF-8.
    """
    with to_stdout():
        sys.stdout.write(text)
        sys.stdout.flush()


class ReaderGone(BrokenPipeError):
    """Whoever read our output (head, less) has ended. It bears no number: at EPIPE click ends the process with 1."""


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """What is written in here goes to standard output. Raises ReaderGone, or OSError with its name."""
    try:
        with naming(STDOUT):
            yield
    except BrokenPipeError as gone:
        raise ReaderGone from gone
