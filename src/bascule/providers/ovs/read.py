"""The rows of a database in one read, and their place in a host's state. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, get_args, get_type_hints

from bascule.providers.ovs.state import (
    REOPENED,
    BridgeRow,
    InterfaceRow,
    MirrorRow,
    PortRow,
    QosRow,
    Row,
    SwitchCounters,
    SwitchState,
    plain,
)

EXTRA = {  # columns that are read beside those of a row
    "Bridge": ("_uuid", "name", "ports", "mirrors", "controller"),
    "Port": ("_uuid", "name", "interfaces", "qos"),
    "Interface": ("_uuid", "name", "error", "ofport"),
    "Mirror": ("_uuid", "name", *MirrorRow.ports),
}
ROOT = ("_uuid", "next_cfg", "cur_cfg", "ovs_version")
_UNKNOWN = re.compile(r"(\w+) is not a valid column name")  # ovsdb/column.c
KINDS: tuple[type[Row], ...] = (BridgeRow, PortRow, InterfaceRow, MirrorRow)


def reading(lacking: Container[tuple[str, str]] = ()) -> list[Any]:
    """The parameters of the one transaction that reads all; ``lacking`` are columns that the database has not."""
    queues = ("QoS", ("_uuid", *QosRow.columns))
    tables = [("Open_vSwitch", ROOT), queues, *((kind.table, (*EXTRA[kind.table], *kind.columns)) for kind in KINDS)]
    return [
        "Open_vSwitch",
        *(
            {
                "op": "select",
                "table": table,
                "where": [],
                "columns": [column for column in columns if (table, column) not in lacking],
            }
            for table, columns in tables
        ),
    ]


def unknown_column(answer: Iterable[Mapping[str, Any] | None]) -> tuple[str, str] | None:
    """The column of an older version's table that an answer complains of; the answer ends there."""
    for table, result in zip(("Open_vSwitch", "QoS", *(kind.table for kind in KINDS)), answer, strict=False):
        found = _UNKNOWN.match(str((result or {}).get("details", "")))
        if found:
            return table, found[1]
    return None


def from_answer(answer: Iterable[Mapping[str, Any]], socket: str) -> SwitchState:
    """The state from the answer. Raises KeyError, ValueError or TypeError for one in another form."""
    root, queues, *tables = ([{k: plain(v) for k, v in row.items()} for row in result["rows"]] for result in answer)
    bridges, ports, interfaces, mirrors = tables
    names = {row["_uuid"]: row["name"] for table in tables for row in table}
    halfway = frozenset(row["name"] for row in interfaces if row["type"] == REOPENED)
    opened = ({**row, "type": ""} if row["name"] in halfway else row for row in interfaces)
    own = {row["name"]: _row(InterfaceRow, row) for row in opened}
    of_ports = {uuid: row["name"] for row in bridges for uuid in _several(row["ports"])}
    shapes = {row["_uuid"]: QosRow(**{name: row[name] for name in QosRow.columns if name in row}) for row in queues}
    of_mirrors = {uuid: row["name"] for row in bridges for uuid in _several(row.get("mirrors", ()))}
    kept: dict[str, Any] = root[0] if root else {"_uuid": "", "next_cfg": 0, "cur_cfg": 0, "ovs_version": ()}
    return SwitchState(
        socket=socket,
        bridges={row["name"]: _row(BridgeRow, row) for row in bridges},
        ports={
            row["name"]: _row(
                PortRow,
                row,
                bridge=of_ports[row["_uuid"]],
                qos=next((shapes[uuid] for uuid in _several(row.get("qos", ())) if uuid in shapes), None),
                interfaces=tuple(own[name] for name in sorted(names[uuid] for uuid in _several(row["interfaces"]))),
            )
            for row in ports
            if row["_uuid"] in of_ports
        },
        mirrors={
            f"{of_mirrors[row['_uuid']]}/{row['name']}": _row(
                MirrorRow,
                row,
                bridge=of_mirrors[row["_uuid"]],
                **{
                    column: tuple(sorted(names[uuid] for uuid in _several(row.get(column, ()))))
                    for column in MirrorRow.ports
                },
            )
            for row in mirrors
            if row["_uuid"] in of_mirrors
        },
        unheard=halfway,
        seen=SwitchCounters(
            halfway=halfway,
            root=kept["_uuid"],
            uuids=dict(_uuids(tables, of_mirrors))
            | {f"QoS/{row['name']}": uuid for row in ports for uuid in _several(row.get("qos", ()))},
            errors={row["name"]: str(row["error"]) for row in interfaces if row.get("error")},
            ofports={row["name"]: port for row in interfaces for port in _several(row.get("ofport", ())) if port > 0},
            next_cfg=kept["next_cfg"],
            cur_cfg=kept["cur_cfg"],
            version=kept["ovs_version"] or "",
            controlled=frozenset(row["name"] for row in bridges if row.get("controller")),
        ),
    )


def _uuids(tables: Iterable[list[dict[str, Any]]], of_mirrors: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for kind, table in zip(KINDS, tables, strict=True):
        for row in table:
            name = row["name"] if kind is not MirrorRow else f"{of_mirrors.get(row['_uuid'])}/{row['name']}"
            yield f"{kind.table}/{name}", row["_uuid"]


def _several(value: Any) -> tuple[Any, ...]:
    """A set of one stands without its brackets."""
    return value if isinstance(value, tuple) else (value,)


_known: dict[str, Mapping[str, Callable[[Any], Any] | None]] = {}  # by kind of row


def _converters(kind: type[Any]) -> Mapping[str, Callable[[Any], Any] | None]:
    """What makes of a datum the value of a column: where it may be empty, or have several, a set of one is no tuple."""
    found: dict[str, Callable[[Any], Any] | None] = {}
    hints = get_type_hints(kind)
    for name in kind.columns:
        optional = isinstance(hints[name], UnionType) and type(None) in get_args(hints[name])
        several = getattr(hints[name], "__origin__", None) is tuple
        found[name] = _one_or_none if optional else _several if several else None
    return found


def _one_or_none(value: Any) -> Any:
    return None if value == () else value


def _row(kind: type[Any], row: Mapping[str, Any], **rest: Any) -> Any:
    converters = _known.get(kind.__name__) or _known.setdefault(kind.__name__, _converters(kind))
    known = {name: to(row[name]) if to else row[name] for name, to in converters.items() if name in row}
    return kind(name=row["name"], **known, **rest)
