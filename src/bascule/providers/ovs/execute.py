"""How a plan's commands are done: one transaction, and the rules of guards, a switch at a time."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any

from bascule.errors import CommandFailed, Problem
from bascule.host.live import LiveHost
from bascule.model.links.openvswitch import management_socket
from bascule.plan.batch import Batch
from bascule.plan.change import Change
from bascule.providers.ovs.diff import PATIENCE_S, reopen
from bascule.providers.ovs.guard_steps import takes_guards_away
from bascule.providers.ovs.observe import look, rebinding
from bascule.providers.ovs.transaction import interfaces_in
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import OFCTL, ask, daemons, failed, refused_links, settle
from bascule.system.run import run

JOURNAL = "/etc/openvswitch/conf.db"  # as packages have it; programs name themselves in its records
WHO = f"the last records of 'ovsdb-tool -m show-log {JOURNAL}' say who changed it"
_TAKEN = re.compile(r'rows in "(\w+)" table to have identical values \("?([^)"]+)"?\) for index')  # ovsdb/transaction.c
LOOK_S = 1.0  # between two looks at whether ovs-vswitchd still runs and works
AWAKE_S = 4.0  # how long it may do nothing though it answers: then it has seen what its database says
REOPENINGS = 4  # looks at whether the tap of a guest that came again is heard; between them it is opened again
IDLE_S = 20  # how long it may do nothing at all: on a busy machine hundreds of ports take it longer than that


def execute(batch: Batch, where: LiveHost, keep: Sequence[int]) -> None:
    """The transaction, and wait until ovs-vswitchd has done it. Raises CommandFailed with what it says."""
    made: set[str] = set()
    plugged: set[str] = set()
    loaded = False
    for command, change in zip(batch.commands, batch.changes, strict=True):
        if command.tool == "ovsdb-client":
            _, remote, words = command.words
            parameters = json.loads(words)
            _transact(remote.removeprefix("unix:"), parameters, change)
            made.update(interfaces_in(parameters))
        elif command.tool == "ovs-ofctl":
            _must_answer(change, where.namespace)
            where.run((command.tool, *command.words), stdin=command.stdin, keep=keep)
            loaded |= not takes_guards_away(command)  # then older rules stop what may pass, for half a second
        elif "wait-until" not in command.words:  # a guest's port, beside the plan's transaction
            where.run((command.tool, *command.words), keep=keep)
            plugged.update(command.words)
        else:
            path = command.words[0].removeprefix("--db=unix:")
            _see(_await(path, int(command.words[-1].removeprefix("cur_cfg>=")), change, where.namespace), made)
    if plugged:
        _hear(plugged, where, keep)
        bind_ports(where.namespace)
    if loaded or plugged:
        settle(where.namespace)


def _hear(plugged: Set[str], where: LiveHost, keep: Sequence[int]) -> None:
    """A tap whose name a port had already, as of a guest that crashed, is not heard yet.

    Raises CommandFailed where it is not heard afterwards either.
    """
    for _ in range(REOPENINGS):
        part = look(where.namespace)
        if part is None or not (unheard := sorted(part.unheard & plugged)):
            return
        for command in chain.from_iterable(reopen(part.socket, name) for name in unheard):
            where.run((command.tool, *command.words), keep=keep)
    raise CommandFailed(*map(_not_heard, unheard))


def bind_ports(namespace: Namespace | None) -> None:
    """Give the ports that have come since the guards were loaded their rules by number, and forget those that went.

    Until then a guest is known by its MAC, and held to its guard all the same. Raises CommandFailed, NotPermitted.
    """
    part = look(namespace)
    if part is None or not part.flows:
        return
    for bridge, lines in rebinding(part):
        run((*OFCTL, "--bundle", "add-flows", management_socket(part.socket, bridge), "-"), stdin=lines)


def _transact(path: str, parameters: list[Any], change: Change) -> None:
    try:
        results = ask(path, parameters)
    except (OSError, ValueError) as error:
        raise failed(path, error) from error
    problems = list(_refusals(parameters[1:], results, change))
    if problems:
        raise CommandFailed(*problems)


def _refusals(operations: Sequence[dict[str, Any]], results: Iterable[Any], change: Change) -> Iterator[Problem]:
    """Why nothing of it was done: a row that is another by now, or what the database does not take or cannot keep."""
    for number, result in enumerate(results):
        if not isinstance(result, dict) or not result.get("error"):
            continue
        words = str(result.get("details") or result["error"])
        told = operations[number] if number < len(operations) else {}
        if told.get("op") == "wait" and result["error"] == "timed out":
            message = f"{_subject(told)} has been changed since it was read; nothing was done"
            yield Problem("OPENVSWITCH-CHANGED", message, hint=f"run it again; {WHO}")
            continue
        if taken := _TAKEN.search(words):
            message = f"{taken[1].lower()} '{taken[2]}' of Open vSwitch has come since it was read; nothing was done"
            yield Problem("OPENVSWITCH-CHANGED", message, hint=f"run it again; {WHO}")
            continue
        step, hint = f"{change.subject}: {change.action}", "see 'ovs-vsctl show'"
        message = f"{step}: Open vSwitch says '{words}'; nothing was done"
        if why := result.get("io-error"):
            message = f"{step}: Open vSwitch cannot write its database ({words}: {why}); nothing was done"
            hint = f"see 'df -h {words.partition(': ')[0]}' and 'journalctl -u ovsdb-server'"
        elif result["error"] == "unknown column":
            hint = "this version of Open vSwitch lacks it: see 'ovs-vsctl --version', and leave the key out of the file"
        yield Problem("OPENVSWITCH-REFUSED", message, hint=hint)


def _subject(wait: dict[str, Any]) -> str:
    named = next((str(value) for column, _, value in wait["where"] if column == "name"), "")
    kind = {"Bridge": "bridge", "Port": "port", "Interface": "interface", "Mirror": "mirror"}.get(wait["table"], "row")
    columns = ", ".join(wait["columns"])
    return f"{kind} '{named}' of Open vSwitch" if named else f"a {kind} of Open vSwitch ({columns})"


def _await(path: str, number: int, change: Change, namespace: Namespace | None) -> dict[str, str]:
    """Until ovs-vswitchd has done the change: what it could not open. Raises CommandFailed where it runs no more."""
    begun = active = time.monotonic()
    worked = 0
    try:
        while (refused := refused_links(path, number, wait_s=LOOK_S)) is None:
            now, found = time.monotonic(), daemons(namespace)
            if found is not None and found.worked != worked:
                worked, active = found.worked, now
            why = ""
            if found is not None and found.control is None:
                why = f"ovs-vswitchd {found.trouble}"
            elif now - active > AWAKE_S and found is not None and found.is_awake:
                why = f"ovs-vswitchd answers and has not done it within {now - begun:.0f} s: "
                why += "who else has its lock of the database?"
            elif now - active > IDLE_S or now - begun > PATIENCE_S:
                why = f"ovs-vswitchd did not do it within {now - begun:.0f} s"
            if why:
                raise _dead(change, why)
    except (OSError, ValueError) as error:
        raise failed(path, error) from error
    return refused


def _not_heard(tap: str) -> Problem:
    message = f"{tap}: it is a port, and ovs-vswitchd reads nothing from it, after {REOPENINGS - 1} attempts to open it"
    return Problem("OPENVSWITCH-DEVICE", message, hint=f"see 'ip -d link show {tap}' and the log of ovs-vswitchd")


def _must_answer(change: Change, namespace: Namespace | None) -> None:
    """Programs wait for ovs-vswitchd for ever. Raises CommandFailed where it does not answer."""
    found = daemons(namespace)
    if found is not None and found.trouble:
        raise _dead(change, f"ovs-vswitchd {found.trouble}")


def _dead(change: Change, why: str) -> CommandFailed:
    message = f"{change.subject}: {change.action}: {why}"
    return CommandFailed.of("OPENVSWITCH-DEAD", message, hint="see 'systemctl status openvswitch-switch'")


def _see(refused: Mapping[str, str], made: Collection[str]) -> None:
    """See that ovs-vswitchd could open what was made. Raises CommandFailed with what it says."""
    problems = [
        Problem("OPENVSWITCH-DEVICE", f"{name}: Open vSwitch says '{words}'", hint=f"see 'ip -d link show {name}'")
        for name, words in refused.items()
        if name in made
    ]
    if problems:
        raise CommandFailed(*problems)
