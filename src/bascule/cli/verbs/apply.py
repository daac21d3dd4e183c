"""``bascule apply``: change this host, and take it back by itself unless somebody confirms."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from bascule.cli.common import (
    driver_options,
    here_option,
    host_option,
    json_option,
    show,
    site_argument,
    steps,
    width,
)
from bascule.cli.listening import progress, survey_options
from bascule.cli.show.output_style import output_style, show_questions
from bascule.model.values import count, duration

if TYPE_CHECKING:
    from bascule.apply.prepare import PreparedPlan
    from bascule.apply.request import ApplyRequest
    from bascule.apply.transaction import ApplyResult
    from bascule.plan.file_change import FileChange
    from bascule.system.clock import Progress

DEFAULT_S = 60.0


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in click's newer stubs only
    """``60``, ``60s``, ``2m``, ``1.5m``; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, from 1 to 86,400."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        factor = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 1.0)
        try:
            result = float(text.rstrip("smh")) * factor
        except ValueError:
            self.fail(f"'{value}' is not a duration such as 60s or 2m", param, ctx)
        if not 1 <= result <= 86400:
            self.fail(f"'{value}' is not between 1 s and 24 h", param, ctx)
        return result


@click.command()
@site_argument
@host_option
@here_option
@json_option
@click.option(
    "--confirm-within",
    metavar="TIME",
    type=Duration(),
    help="Take the change back unless 'bascule confirm' is run within TIME (60s, 2m). "
    "Default 60s where a port is detached, or an address or route of the host or a link under it changes.",
)
@click.option("--no-confirm", is_flag=True, help="Keep the change without a confirmation, whatever the risk.")
@click.option("--yes", is_flag=True, help="Do not ask. The checkpoint is written anyway.")
@survey_options
@click.option("--root", metavar="DIR", help="Keep the change in the files below DIR instead of the machine's own /etc.")
@driver_options
@click.option("--probe", "probes", metavar="HOST:PORT", multiple=True, help="This must still answer; may be repeated.")
def command(
    *,
    site_file: str,
    host: str | None,
    here: bool,
    as_json: bool,
    confirm_within: float | None,
    no_confirm: bool,
    yes: bool,
    probes: tuple[str, ...],
    survey: bool,
    survey_seconds: float,
    root: str | None,
    driver: str | None,
    connect: str | None,
) -> int:
    """Change this host as the site file says; the change is taken back unless you run `bascule confirm`.

    That holds for its configuration files, too, if the machine loses its power before (where systemd starts it).

    Exit status: 0 done or nothing to do, 1 failed, 64 usage, 65 bad site file, 75 a step or a check failed and the
    change was taken back, 77 not permitted.

    Example: bascule apply site.yaml --confirm-within 60s
    """
    from bascule import workflow
    from bascule.apply.options import DriverChoice
    from bascule.errors import UsageFault

    if "--no-confirm" in sys.argv[1:] and confirm_within is not None:
        hint = "leave one of them out"
        raise UsageFault.of("USAGE", "--no-confirm and --confirm-within exclude each other", hint=hint)
    asking = not yes
    if asking and not sys.stdin.isatty():
        hint = "use --yes to apply without a question; the checkpoint is written anyway"
        raise UsageFault.of("NOT-ASKED", "there is no terminal to ask on", hint=hint)
    if asking:
        show_questions()
    choice = DriverChoice(driver=driver or "", uri=connect, lasting=root is None)
    with workflow.ready(
        site_file,
        host=host,
        here=here,
        root=root,
        survey_s=survey_seconds if survey else None,
        progress=progress(survey_seconds, as_json=as_json) if survey else None,
        choice=choice,
    ) as ready:
        window_s = (
            None if no_confirm else confirm_within or (DEFAULT_S if ready.prepared.plan.must_be_confirmed else None)
        )
        return _make(ready, window_s=window_s, asking=asking, as_json=as_json, probes=probes)


def _make(ready: ApplyRequest, *, window_s: float | None, asking: bool, as_json: bool, probes: tuple[str, ...]) -> int:
    """Show it, ask, make it; the exit status."""
    from bascule import workflow
    from bascule.cli.common import say
    from bascule.errors import BasculeError

    prepared = ready.prepared
    tell = say if as_json else show
    try:
        tell(_plan(prepared))
    except BrokenPipeError as gone:
        text = "the reader of the plan closed its pipe; nothing was changed"
        raise BasculeError.of("OUTPUT-GONE", text, hint="do not pipe it into head") from gone
    if not prepared.plan and not prepared.plan.files:
        return _finish(ready, None, as_json=as_json)
    _warn(ready, window_s, say)
    if asking and not _agrees(window_s):
        say("nothing was changed")
        return 1
    doing = steps(as_json=as_json)
    done = workflow.apply(
        ready,
        window_s=window_s,
        agree=lambda fresh: _again(fresh, asking=asking, window_s=window_s, show=tell),
        tell=_careful(say, doing),
        probes=probes,
        progress=doing,
    )
    return _finish(ready, done, as_json=as_json)


def _plan(prepared: PreparedPlan) -> str:
    from bascule.cli.show.plan import show_plan

    return show_plan(prepared.host.name, prepared.plan, columns=width())


def _careful(say: Callable[[str], None], doing: Progress) -> Callable[[str], None]:
    """The terminal may be gone by then; the change goes on."""

    def tell(text: str) -> None:
        doing("")
        with contextlib.suppress(OSError):
            say(text)

    return tell


def _warn(ready: ApplyRequest, window_s: float | None, say: Callable[[str], None]) -> None:
    from bascule.cli.show.plan import show_own_line

    prepared = ready.prepared
    for remark in ready.remarks:
        say(f"\nwarning: {remark}")
    if ready.persister is not None and not output_style().quiet:
        files = prepared.plan.files
        words = count(len(files), "file") if files else "its files say so already"
        say(f"\nkept after a restart by: {ready.persister.dialect}, below {ready.persister.root} ({words})")
    if window_s is not None and ready.no_boot_rollback:
        say(f"warning: a loss of power before 'bascule confirm' would boot the new files; {ready.no_boot_rollback}")
    if prepared.line is not None and prepared.plan.crossing:
        what = ", ".join(dict.fromkeys(change.subject for change in prepared.plan.crossing))
        say(f"\nyour own connection (from {prepared.line.peer}) runs over {what}")
    if why := show_own_line(prepared.plan, columns=width(), waits=window_s is not None):
        say(f"\n{why}")
    if window_s is None and prepared.plan.must_be_confirmed:
        say("\nthis will NOT be taken back automatically: --no-confirm was given")


def _agrees(window_s: float | None) -> bool:
    rest = f"; it is taken back after {duration(window_s)} unless you confirm" if window_s else ""
    return click.confirm(f"\nmake this change{rest}?", err=True)


def _again(fresh: PreparedPlan, *, asking: bool, window_s: float | None, show: Callable[[str], None]) -> bool:
    """The host moved: the new plan, and the question once more."""
    show(_plan(fresh))
    return not asking or _agrees(window_s)


def _finish(ready: ApplyRequest, done: ApplyResult | None, *, as_json: bool) -> int:
    from bascule.cli.entry import emit
    from bascule.cli.show.plan import plan_as_json

    prepared = ready.prepared
    try:
        if as_json:
            document = plan_as_json(prepared.host.name, prepared.plan)
            document["mind"] += ready.remarks
            emit(
                "apply",
                {
                    "ok": True,
                    "changed": done is not None,
                    **document,
                    **(_done_json(done, kept=ready.persister is not None) if done else {}),
                },
            )
        elif done is not None and (done.window_s or not output_style().quiet):  # a change that waits must be said
            show(_done_words(ready, done))
    except OSError:
        pass  # the line may have been cut by the change itself; the dead-man watches all the same
    return 0


def _done_json(done: ApplyResult, *, kept: bool) -> dict[str, Any]:
    return {
        "change": done.folder.number,
        "confirm_within_s": done.window_s,
        "written": list(done.written),
        "survives_reboot": kept,
        "checked": [*done.checked, *done.brought],
    }


def _files_words(files: Sequence[FileChange], written: Sequence[str]) -> Iterator[str]:
    """A line for each thing that was done to files of the configuration."""
    moved = [f"{file.path} (kept as {file.place})" for file in files if file.action == "move"]
    restored, removed = ([file.path for file in files if file.action == what] for what in ("restore", "remove"))
    new = [path for path in written if path not in restored]
    for what, paths in (("written", new), ("moved aside", moved), ("restored", restored), ("removed", removed)):
        if paths:
            yield f"{what}: {', '.join(paths)}"


def _done_words(ready: ApplyRequest, done: ApplyResult) -> str:
    from bascule.apply.prepare import address_place

    prepared = ready.prepared
    lines = ["", f"change {done.folder.number} is made"]
    if done.checked:
        lines.append(f"still answering: {', '.join(done.checked)}")
    if done.brought:
        lines.append(f"new, and answering: {', '.join(done.brought)}")
    line = prepared.line
    again = ""
    if line is not None and line.device != "lo" and prepared.plan.crossing:
        place = address_place(prepared.wanted, line.address)
        if place:
            lines.append(f"your address stays {line.address}, on {place}")
            again = "reconnect if your session hangs, and "
        else:
            links = [link for link in prepared.wanted.links.values() if link.name != "lo"]
            others = [a.ip for link in links for a in link.addresses if not a.is_link_local]
            lines.append(f"{line.address} is gone; the host now has {', '.join(others) or 'no address'}")
            again = "reconnect there, and "
    if done.window_s is not None:
        lines.append(f"{again}run 'bascule confirm' within {duration(done.window_s)}, or it is taken back")
    else:
        lines.append("'bascule undo' takes it back")
    if ready.persister is None:
        lines.append(f"no configuration files were written: {ready.not_kept}")
        lines.append("the change will be lost when the machine restarts")
    else:
        files = list(_files_words(prepared.plan.files, done.written))
        lines += files or [f"no file was written: the files of {ready.persister.dialect} say it already"]
    return "\n".join(lines)
