"""How much is printed and how it looks: one setting for every verb, from the command line and the environment."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

import click
from msgspec import Struct
from msgspec.structs import replace

When = Literal["auto", "always", "never"]

ASCII = str.maketrans(
    {"→": "->", "←": "<-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "…": "...", "×": "x", "µ": "u", "·": "-", "┄": "-"}
)
PLAIN = "bascule-plain"  # the error handler of streams that take ASCII alone


class OutputStyle(Struct, frozen=True):
    """``detail`` is 1 for -v, -1 for -q; ``color`` as the option says; ``ascii`` where nothing else may be printed.

    ``ascii_said``: by --ascii, and so for files as well.
    """

    detail: int = 0
    color: When = "auto"
    ascii: bool = False
    ascii_said: bool = False

    @property
    def verbose(self) -> bool:
        """Whether each thing that is fine is shown."""
        return self.detail > 0

    @property
    def quiet(self) -> bool:
        """Whether only what is wrong is shown."""
        return self.detail < 0


_style = OutputStyle()


def output_style() -> OutputStyle:
    """The setting of this process."""
    return _style


def settle(**options: Any) -> None:
    """Set what an option says; the rest stays."""
    global _style  # noqa: PLW0603  # one process prints in one way
    _style = replace(_style, **options)


def show_questions() -> None:
    """Whoever is asked must see what about: -q hides nothing then."""
    settle(detail=max(0, _style.detail))


def begin() -> None:
    """Take over what the environment says: whether the locale has other characters than ASCII."""
    global _style  # noqa: PLW0603
    _style = OutputStyle(ascii=is_ascii(sys.stdout, _first_environment()))
    codecs.register_error(PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that a stream does not take is replaced, never a traceback
            stream.reconfigure(errors=PLAIN)
    if _style.ascii:
        narrow()


def narrow() -> None:
    """From now on both streams are written in ASCII."""
    settle(ascii=True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="ascii", errors=PLAIN)


def is_ascii(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the locale has ASCII alone.

    Python takes UTF-8 where the locale is C (PEP 538, PEP 540), so the stream does not tell; the variables do, in the
    order of locale(7). Where none is set, nobody said C. A locale that is not installed here still says what the
    terminal at the other end of an SSH session takes.
    """
    if environment.get("PYTHONUTF8") == "1":
        return False
    chosen = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    name, _, charset = chosen.partition("@")[0].partition(".")
    if not charset.lower().startswith("utf") and (charset or name in {"C", "POSIX"}):
        return True
    return not (stream.encoding or "ascii").lower().replace("-", "").startswith("utf8")


def _first_environment() -> Mapping[str, str]:
    """The environment that this process was started with: Python itself sets LC_CTYPE where LANG is C."""
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    first = dict(word.decode(errors="replace").partition("=")[::2] for word in words if word)
    changed = {name: value for name, value in os.environ.items() if name not in first and name != "LC_CTYPE"}
    return {**first, **changed}


def plain(text: str) -> str:
    """Text in ASCII: arrows and dots in their usual spelling, letters without their accents, "?" for the rest."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text.translate(ASCII)).translate(ASCII)
    return "".join(x for x in apart if not unicodedata.combining(x)).encode("ascii", "replace").decode()


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return plain(error.object[error.start : error.end]), error.end


def colored(stream: TextIO) -> bool:
    """Whether a stream gets colours: as --color says, else NO_COLOR, FORCE_COLOR, else on a terminal that has them."""
    if _style.color != "auto":
        return _style.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _tell(_: click.Context, param: click.Parameter, value: Any) -> Any:
    if param.name == "look_more" and value:
        settle(detail=1)
    elif param.name == "look_less" and value:
        settle(detail=-1)
    elif param.name == "look_color" and value:
        settle(color=value)
    elif param.name == "look_ascii" and value:
        settle(ascii_said=True)
        narrow()
    return value


OPTIONS: tuple[tuple[list[str], dict[str, Any]], ...] = (
    (["-v", "--verbose", "look_more"], {"is_flag": True, "help": "Also show what is in order."}),
    (["-q", "--quiet", "look_less"], {"is_flag": True, "help": "Show only what is wrong."}),
    (
        ["--color", "look_color"],
        {
            "type": click.Choice(("auto", "always", "never")),
            "help": "Colours; auto: on a terminal, unless NO_COLOR is set.",
        },
    ),
    (["--ascii", "look_ascii"], {"is_flag": True, "help": "Use ASCII only; the default where the locale is C."}),
)


def add_options(command: click.Command) -> click.Command:
    """Give a verb, and each below it, the options that are the same for all."""
    there = {option for param in command.params for option in param.opts}
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        add_options(inner)
    if "--color" in there:
        return command
    for words, more in OPTIONS:
        command.params.append(click.Option(words, callback=_tell, expose_value=False, is_eager=True, **more))
    return command
