"""From an exception to words and an exit status; no traceback ever reaches the user."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import gc
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from bascule.cli.common import say, to_stdout, width
from bascule.cli.show.output_style import begin
from bascule.errors import BasculeError, NotPermitted, Problem, UsageFault, internal_error
from bascule.system.clock import watch_waits
from bascule.system.disk.files import STDOUT

# between two looks for cyclic garbage; a large host is some 100,000 objects that stay, and Python's own 700 would have
# them looked at again and again: 10 % of the time of a plan, whose process soon ends and gives everything back
ALLOCATIONS = 500_000
# click's words for what a person types
NOT_A_CHOICE = re.compile(r"'([^']+)' is not one of (.+)")
PLAIN_WORDS = (
    (r"is not a valid float( range)?", "is not a number"),
    (r"is not a valid integer( range)?", "is not a whole number"),
    (r"is not in the range ([\d.]+)<=x<=([\d.]+)", r"is not between \1 and \2"),
    (r"\. Choose from:\s+", ": one of "),
    (r",\n\s*", ", "),
)
CLICK_COLUMNS = 52  # narrower than that click lets help run over the edge
CLOSE = 0.7  # of two names; without their dashes, which all options have in common


def _how_it_stands(since_s: float) -> str:
    """What became of the host's last change meanwhile, where the verb has dealt with one."""
    if "bascule.apply.rollback.checkpoint" not in sys.modules and sys.argv[1:2] not in (["confirm"], ["undo"]):
        return ""
    from bascule.apply.pending import words_since
    from bascule.apply.state_directory import here

    with contextlib.suppress(OSError, BasculeError):
        return words_since(here(), since_s)
    return ""


def run(group: click.Command) -> NoReturn:
    """Run the command line and leave with DESIGN.md's exit status."""
    as_json, since_s = "--json" in sys.argv, time.time()
    gc.set_threshold(ALLOCATIONS)
    _fill_closed()
    begin()
    watch_waits(functools.cache(say))  # each once
    if (columns := width()) < CLICK_COLUMNS:
        group.context_settings["terminal_width"] = columns - 2
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = group.main(standalone_mode=False, prog_name="bascule", complete_var="_BASCULE_COMPLETE")
        with to_stdout():
            sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except BasculeError as error:
        report(error, as_json=as_json)
        sys.exit(error.exit_status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as wrong:
        fault = from_click(wrong)
        report(fault, as_json=as_json)
        sys.exit(fault.exit_status)
    except (KeyboardInterrupt, click.Abort):
        print(f"interrupted; {_how_it_stands(since_s) or 'nothing is left behind'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader (head, less) has gone: no complaint
        sys.exit(0)
    except OSError as error:
        report(from_os_error(error), as_json=as_json)
        sys.exit(77 if error.errno in {errno.EPERM, errno.EACCES} else 1)
    except Exception as fault:
        if os.environ.get("BASCULE_DEBUG"):
            raise
        hint = "run it again with BASCULE_DEBUG=1 and report what it prints"
        report(BasculeError.of("BUG", internal_error(fault), hint=hint), as_json=as_json)
        sys.exit(1)


def _fill_closed() -> None:
    """Where stdin, stdout or stderr is closed (``>&-``), the next file that is opened would be taken for it."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, "r" if fd == 0 else "w", closefd=False))  # noqa: SIM115


def end(status: object) -> NoReturn:
    """Leave the process at once: to take a large host's state apart, object by object, takes 50 ms (measured)."""
    if not isinstance(status, int) or threading.active_count() > 1:
        raise SystemExit(status)
    atexit._run_exitfuncs()  # noqa: SLF001  # there is no other way to have them run before _exit
    with contextlib.suppress(OSError):  # whoever read it has gone; what had to be said was flushed before
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


def from_click(wrong: click.ClickException) -> UsageFault:
    """What click says of words that it cannot read, as a problem; what was perhaps meant is the hint."""
    verb = next((f" {word}" for word in sys.argv[1:2] if not word.startswith("-")), "")
    context = wrong.ctx if isinstance(wrong, click.UsageError) else None
    hint = f"see '{context.command_path if context else f'bascule{verb}'} --help'"
    offered = getattr(wrong, "possibilities", None) or ()  # of an option or a verb that there is not
    close = [name for name in offered if _is_close(name, getattr(wrong, "option_name", name))]
    if (chosen := NOT_A_CHOICE.search(wrong.message)) is not None:
        close = [name for name in re.findall("'([^']*)'", chosen[2]) if _is_close(name, chosen[1])]
    if getattr(wrong, "option_name", None) in {"-o", "--output"}:
        hint = f"it prints to standard output, as in: {context.command_path if context else 'bascule'} > FILE"
    if close:
        hint = f"did you mean {' or '.join(map(repr, close))}?"
    message = wrong.message if offered else wrong.format_message()
    for pattern, words in PLAIN_WORDS:
        message = re.sub(pattern, words, message)
    return UsageFault.of("USAGE", message.rstrip("."), hint=hint)


def _is_close(name: str, typed: str) -> bool:
    """Whether it may have been meant: ``--hots`` is ``--host``, and ``--here`` is not ``--verbose``."""
    from difflib import SequenceMatcher

    if name.startswith(typed) or sorted(name) == sorted(typed):  # --yse
        return True
    return SequenceMatcher(None, name.lstrip("-"), typed.lstrip("-")).ratio() >= CLOSE


def from_os_error(error: OSError) -> BasculeError:
    """The operating system's refusal as a problem."""
    name = error.filename
    subject = "" if not name else f"{name}: " if name == STDOUT else f"'{name}': "
    hints = {
        errno.ENOENT: f"make the directory '{Path(str(name)).parent}' first, or name another",
        errno.ENOTDIR: "a part of this path is a file; name another",
        errno.EISDIR: "name a file in it",
        errno.ENOSPC: "free some space and run it again",
        errno.EDQUOT: "free some of your quota and run it again",
        errno.EPERM: "run it as root",
        errno.EACCES: "run it as root, or change the file's permissions",
        errno.EROFS: "name a place on a file system that can be written",
    }
    words = f"{subject}{error.strerror or error}"
    hint = hints.get(error.errno or 0)
    if error.errno == errno.ENOENT and (not name or Path(str(name)).parent.is_dir()):
        hint = None
    if error.errno in {errno.EACCES, errno.EROFS} and error.filename and _is_own_state(str(error.filename)):
        closed = error.errno == errno.EACCES
        hint = (
            "run it as root: Bascule's records of its changes are readable by root only"
            if closed
            else ("Bascule keeps its records there; point BASCULE_STATE_DIR to a file system that can be written")
        )
    problem = Problem(code="SYSTEM", message=words, hint=hint)
    return NotPermitted(problem) if error.errno in {errno.EPERM, errno.EACCES} else BasculeError(problem)


def _is_own_state(path: str) -> bool:
    from bascule.apply.state_directory import here

    try:
        place = here()
    except BasculeError:  # where that is is not known
        return False
    return any(Path(path).is_relative_to(folder.parent) for folder in (place.state, place.runtime))


def report(error: BasculeError, *, as_json: bool) -> None:
    """Print the problems: to people on stderr, to machines as one document on stdout."""
    if as_json:
        verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "bascule")
        try:
            emit(verb, {"ok": False, "problems": [problem.as_json() for problem in error.problems]})
        except OSError:  # stdout itself is full, or nobody reads it: stderr is left
            as_json = False
    if not as_json:
        from bascule.cli.show.problems import show_problems

        with contextlib.suppress(OSError):
            say(show_problems(error.problems))


def emit(verb: str, document: dict[str, Any]) -> None:
    """One JSON document on stdout, with its schema's name."""
    with to_stdout():
        click.echo(json.dumps({"schema": f"bascule/{verb}/1", **document}, indent=2, default=str))
