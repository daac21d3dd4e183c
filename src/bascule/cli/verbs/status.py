"""``bascule status``: what is armed, what was left unfinished, what has drifted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from bascule.cli.common import json_option, put, show, stay, table, width, wrapped
from bascule.cli.show.folding import folded
from bascule.cli.show.output_style import output_style

if TYPE_CHECKING:
    from bascule.apply.host_status import HostStatus


@click.command()
@json_option
@click.option("--watch", is_flag=True, help="Stay, and print drift as it happens.")
@click.option("--metrics", "as_metrics", is_flag=True, help="Print what Prometheus reads, for its textfile collector.")
def command(*, as_json: bool, watch: bool, as_metrics: bool) -> int:
    """Say what is armed and until when, what a crash left unfinished and what finishes it, and what has drifted.

    With --watch in a service of systemd each event is an entry of the journal, drift with the priority of a warning;
    the fields are BASCULE_EVENT (status, drifted or back), BASCULE_SUBJECT and BASCULE_CHANGE.

    Reads only. Exit status: 0, or 1 when somebody must act: the host has drifted, drift could not be checked, or a
    change was left unfinished. "ok" of --json and bascule_ok of --metrics say the same; the exit status of --metrics is
    0 wherever it could look.

    Example: bascule status --json
    """
    from bascule import workflow

    if as_metrics and (as_json or watch):
        raise click.UsageError("--metrics cannot be combined with --json or --watch")
    now = workflow.status()
    if as_metrics:
        from bascule.cli.show.metrics import metrics

        put(metrics(now))
        return 0
    from bascule.system.journal import is_journal

    if watch and not as_json and is_journal(sys.stdout):
        _log(now, None)
        _watch(now, _log)
        return 0 if now.ok else 1
    _show(now, as_json=as_json)
    if watch:
        _watch(now, _print_json if as_json else _print)
    return 0 if now.ok else 1


def _show(now: HostStatus, *, as_json: bool) -> None:
    from bascule.cli.entry import emit

    if as_json:
        emit("status", {"ok": now.ok, **_as_json(now)})
    elif not (output_style().quiet and now.ok):
        show(_words(now))


def _words(now: HostStatus) -> str:
    from bascule.apply.host_status import clock_words

    lines = [wrapped(now.words, indent=0, columns=width())]
    facts = []
    if now.number is not None:
        facts.append(("made", f"{clock_words(now.made_at)}, from {now.site}"))
    if now.until is not None and now.left_s is not None and now.left_s > 0:
        facts.append(("until", clock_words(now.until)))
    if now.watchdog:
        facts.append(("watched by", now.watchdog))
    lines += table(facts, indent=2, columns=width())
    lines += table([(x,) for x in now.servers], indent=2, columns=width())
    if now.stopped:
        lines += ["stopped by the guards:", *table([(str(x),) for x in now.stopped], indent=2, columns=width())]
    if now.passed_over:
        lines += ["what may bypass the guards:"]
        lines += table([(x,) for x in now.passed_over], indent=2, columns=width())
    if now.left:
        lines += ["what still differs from before:", *_differences(now.left)]
    if now.kept:
        lines += ["changed by others before it was taken back, or kept by the kernel:"]
        lines += table([(x,) for x in now.kept], indent=2, columns=width())
    if now.drift:
        lines += ["drifted since the change; to correct it:", *_differences(now.drift)]
    if now.unseen:
        lines += [
            "drift could not be checked:",
            *table([(x,) for x in now.unseen], indent=2, columns=width()),
        ]
    return "\n".join(lines)


def _differences(lines: Sequence[str]) -> list[str]:
    """Each thing with what it would take (``web.0: become a port of br4``), alike ones in one line."""
    rows = folded(tuple(line.partition(": ")[::2]) for line in lines)
    return table(((": ".join(filter(None, row)),) for row in rows), indent=2, columns=width())


def _as_json(now: HostStatus) -> dict[str, Any]:
    return {
        "words": now.words,
        "change": now.number,
        "status": str(now.status) if now.status else None,
        "site": now.site or None,
        "made_at": now.made_at or None,
        "seconds_left": None if now.left_s is None else round(now.left_s, 1),
        "until": now.until,
        "watched_by": now.watchdog or None,
        "left": list(now.left),
        "kept": list(now.kept),
        "drift": list(now.drift),
        "unseen": list(now.unseen),
        "servers": list(now.servers),
        "stopped": [
            {"port": x.port, "reason": str(x.reason), "frames": x.frames, "claims": dict(x.claims)} for x in now.stopped
        ],
        "passed_over": list(now.passed_over),
        "busy": {"pid": now.busy.pid, "verb": now.busy.verb} if now.busy else None,
    }


# a line of drift says what would correct it
EVENT_WORDS = {"status": "", "drifted": "drifted; to correct it: ", "back": "no longer drifted: "}


def _events(now: HostStatus, seen: HostStatus | None) -> Iterator[tuple[str, str]]:
    """What is new, each with its kind: status, drifted or back."""
    if seen is None or (now.status, now.number) != (seen.status, seen.number):
        yield "status", now.words
    before = seen.drift if seen is not None else ()
    yield from (("drifted", line) for line in now.drift if line not in before)
    yield from (("back", line) for line in before if line not in now.drift)


def _print(now: HostStatus, seen: HostStatus | None) -> None:
    at = time.strftime("%H:%M:%S")
    for kind, line in _events(now, seen):
        show(f"{at}  {EVENT_WORDS[kind]}{line}")


def _print_json(now: HostStatus, seen: HostStatus | None) -> None:
    for kind, line in _events(now, seen):
        event = {"schema": "bascule/status-event/1", "at": time.time(), "event": kind, "text": line}
        put(json.dumps(event) + "\n")


def _log(now: HostStatus, seen: HostStatus | None) -> None:
    """To the journal, which has the time itself: drift as a warning, with its fields."""
    from bascule.system.journal import INFO, WARNING, write_entry

    for kind, line in _events(now, seen):
        bad = kind == "drifted" or (kind == "status" and not now.ok)
        subject = line.partition(": ")[0] if kind != "status" else ""
        fields = {"BASCULE_EVENT": kind, "BASCULE_SUBJECT": subject, "BASCULE_CHANGE": str(now.number or "")}
        message = f"{EVENT_WORDS[kind]}{line}"
        if not write_entry(message, WARNING if bad else INFO, **fields):
            show(message)


def _watch(seen: HostStatus, tell: Callable[[HostStatus, HostStatus | None], None]) -> None:
    """Tell what is new each time the kernel reports a change, until Ctrl-C."""
    from bascule import workflow
    from bascule.system.net.netlink import NetlinkMonitor

    stay()
    with NetlinkMonitor() as monitor:
        try:
            while True:
                monitor.wait(1.0)
                now = workflow.status()
                tell(now, seen)
                seen = now
        except KeyboardInterrupt:
            return
