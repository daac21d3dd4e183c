"""What others' rules have dropped, as far as they count: who drops a probe shows by the counter that moves."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bascule.errors import BasculeError
from bascule.model.ruleset.nft_json import objects_of
from bascule.model.ruleset.rules import ForeignTable
from bascule.model.state import HostState
from bascule.system.net.netns import Namespace
from bascule.system.run import rows, run
from bascule.system.xtables import LEGACY, legacy_tables
from bascule.topology.trace.rules.words import rule_words

DROPS = {"drop", "reject"}
COUNTED = re.compile(r"^\[(\d+):\d+\] (-A \S+ .*-j (?:DROP|REJECT).*)$|^:(\S+) DROP \[(\d+):\d+\]$")


def dropped_packets(state: HostState, namespace: Namespace) -> dict[str, int]:
    """The packets that each rule or policy of others has dropped on a host whose ``state`` was observed, in words."""
    with namespace.entered():
        tools = [tool for names, tool in LEGACY.items() if legacy_tables(names)]
        has_tables = any(isinstance(table, ForeignTable) for table in state.tables.values())
        with contextlib.suppress(BasculeError, ValueError):
            found = dict(_of_nft(run(("nft", "-j", "list", "ruleset")).stdout)) if has_tables else {}
            for tool in tools:
                found |= dict(_of_legacy(tool.removesuffix("-save"), run((tool, "-c")).stdout))
            return found
    return {}


def _of_nft(listing: str) -> Iterator[tuple[str, int]]:
    for entry in objects_of(listing):
        rule = entry.get("rule")
        if rule is None:
            continue
        kinds = {next(iter(statement)) for statement in rule["expr"]}
        target = any(statement.get("xt", {}).get("name") in {"DROP", "REJECT"} for statement in rule["expr"])
        counters = [one["counter"] for one in rule["expr"] if isinstance(one.get("counter"), dict)]
        if counters and (kinds & DROPS or target):
            where = f"chain {rule['chain']} of table {rule['family']} {rule['table']}"
            yield f"'{rule_words(rule['expr'])}' (handle {rule['handle']}) in {where}", counters[0]["packets"]


def _of_legacy(tool: str, saved: str) -> Iterator[tuple[str, int]]:
    table = ""
    for line in saved.splitlines():
        table = line[1:] if line.startswith("*") else table
        if (found := COUNTED.match(line)) is not None:
            words = f"'{found[2]}'" if found[2] else f"policy DROP of chain {found[3]}"
            yield f"{words} in table {table} of {tool}", int(found[1] or found[4])


def queue_drops(namespace: Namespace) -> dict[tuple[str, str], int]:
    """The packets that each queue of tc has dropped, by its link and in words; a filter of a link counts in its own."""
    with contextlib.suppress(ValueError, KeyError):
        listed = rows(("tc", "-j", "-s", "qdisc", "show"), namespace=namespace, check=False)
        return {(one["dev"], _queue_words(one)): one.get("drops", 0) for one in listed}
    return {}


def _queue_words(queue: Mapping[str, Any]) -> str:
    kind = queue["kind"]
    what = "a filter of tc" if kind in {"clsact", "ingress"} else f"the queue {kind} {queue.get('handle', '')}".rstrip()
    return f"{what} of {queue['dev']} (tc -s qdisc show dev {queue['dev']})"
