"""How the switches are looked at and changed: words over the socket of their data base."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bascule.errors import CommandFailed, Problem
from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Change, Note
from bascule.providers.effects import ObserveScope
from bascule.providers.ovs.diff import PATIENCE_S
from bascule.providers.ovs.observe import look, rebinding
from bascule.providers.ovs.state import SwitchState
from bascule.providers.ovs.transaction import interfaces_in
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import OFCTL, ask, door, failed, settle
from bascule.system.run import run

PAUSE_S = 0.002  # between two looks at whether ovs-vswitchd is done


class OvsEffects:
    """One read, one transaction; the rules of guards are read and loaded by ovs-ofctl, a switch at a time."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """None: it is asked over its socket."""
        return ()

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> SwitchState | None:  # no texts
        """All switches; None where nobody keeps any."""
        return look(scope.where.namespace)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """The transaction, and wait until ovs-vswitchd has done it. Raises CommandFailed with what it says."""
        made: list[str] = []
        loaded = False
        for command, change in zip(batch.commands, batch.changes, strict=True):
            if command.tool == "ovsdb-client":
                _, remote, words = command.words
                parameters = json.loads(words)
                _transact(remote.removeprefix("unix:"), parameters, change)
                made += interfaces_in(parameters)
            elif command.tool == "ovs-ofctl":
                where.run((command.tool, *command.words), stdin=command.stdin, keep=keep)
                loaded = True
            else:
                path = command.words[0].removeprefix("--db=unix:")
                _await(path, int(command.words[-1].removeprefix("cur_cfg>=")), made, change)
        if loaded:
            settle(where.namespace)
        return ()


def bind_ports(namespace: Namespace | None) -> None:
    """Give the ports that have come since the guards were loaded their rules by number, and forget those that went.

    Until then a guest is known by its MAC, and held to its guard all the same. Raises CommandFailed, NotPermitted.
    """
    part = look(namespace)
    if part is None or not part.flows:
        return
    for bridge, lines in rebinding(part):
        run((*OFCTL, "--bundle", "add-flows", door(part.socket, bridge), "-"), stdin=lines)


def _transact(path: str, parameters: list[Any], change: Change) -> None:
    try:
        results = ask(path, parameters)
    except (OSError, ValueError) as error:
        raise failed(path, error) from error
    problems = list(_refusals(parameters[1:], results, change))
    if problems:
        raise CommandFailed(*problems)


def _refusals(operations: Sequence[dict[str, Any]], results: Iterable[Any], change: Change) -> Iterator[Problem]:
    """Why nothing of it was done: a row that is another by now, or what the data base does not take."""
    for number, result in enumerate(results):
        if not isinstance(result, dict) or not result.get("error"):
            continue
        words = str(result.get("details") or result["error"])
        told = operations[number] if number < len(operations) else {}
        if told.get("op") == "wait":
            what = _subject(told)
            message = f"{what} has been changed since it was looked at; nothing was done"
            yield Problem("OPENVSWITCH-CHANGED", message, hint="plan again, and see what is otherwise now")
        else:
            message = f"{change.subject}: {change.action}: Open vSwitch says '{words}'"
            yield Problem("OPENVSWITCH-REFUSED", message, hint="see 'ovs-vsctl show'")


def _subject(wait: dict[str, Any]) -> str:
    named = next((str(value) for column, _, value in wait["where"] if column == "name"), "")
    kind = {"Bridge": "bridge", "Port": "port", "Interface": "interface", "Mirror": "mirror"}.get(wait["table"], "row")
    columns = ", ".join(wait["columns"])
    return f"{kind} '{named}' of Open vSwitch" if named else f"a {kind} of Open vSwitch ({columns})"


def _await(path: str, number: int, made: Iterable[str], change: Change) -> None:
    """Until ovs-vswitchd has seen the change; then see that it could open what was made."""
    begun = time.monotonic()
    while _rows(path, "Open_vSwitch", "cur_cfg")[0]["cur_cfg"] < number:
        waited = time.monotonic() - begun
        if waited > PATIENCE_S:
            message = f"{change.subject}: {change.action}: ovs-vswitchd did not do it within {PATIENCE_S} s"
            raise CommandFailed(Problem("OPENVSWITCH-DEAD", message, hint="see 'systemctl status openvswitch-switch'"))
        time.sleep(max(PAUSE_S, waited / 20))  # each question keeps the data base from what it shall do
    wanted = set(made)
    refused = [row for row in _rows(path, "Interface", "name", "error") if row["name"] in wanted] if wanted else []
    problems = [
        Problem(
            "OPENVSWITCH-DEVICE",
            f"{row['name']}: Open vSwitch says '{row['error']}'",
            hint=f"see 'ip -d link show {row['name']}'",
        )
        for row in refused
        if isinstance(row["error"], str) and row["error"]  # an empty set where it could be opened
    ]
    if problems:
        raise CommandFailed(*problems)


def _rows(path: str, table: str, *columns: str) -> list[dict[str, Any]]:
    """Columns of all rows of a table. Raises BasculeError where nobody answers."""
    select = {"op": "select", "table": table, "where": [], "columns": list(columns)}
    try:
        rows: list[dict[str, Any]] = ask(path, ["Open_vSwitch", select])[0]["rows"]
    except (OSError, ValueError) as error:
        raise failed(path, error) from error
    return rows
