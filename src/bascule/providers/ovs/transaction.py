"""One transaction of OVSDB that leads from one state of the switches to another, or does nothing at all. Pure.

It waits first for the rows as they were observed (RFC 7047, 5.2.6, with a timeout of 0): where one has changed since,
the database refuses the whole, as it does where a name that a new row gets has been taken: names are its indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bascule.providers.ovs.state import (
    BridgeRow,
    InterfaceRow,
    MirrorRow,
    PortRow,
    QosRow,
    Row,
    SwitchState,
    datum,
)

Json = dict[str, Any]
HELD = ("ports", "mirrors")  # the columns of a bridge that refer to what it has


def transaction(old: SwitchState, new: SwitchState) -> list[Any]:
    """The parameters of ``transact``; those who hear of it can wait until ``cur_cfg`` is one more than it was."""
    return _RowOperations(old, new).parameters()


class _RowOperations:
    def __init__(self, old: SwitchState, new: SwitchState) -> None:
        self.old, self.new = old, new
        self.waits: list[Json] = []
        self.changes: list[Json] = []
        self.made: dict[str, str] = {}
        self.moves: dict[tuple[str, str], dict[str, list[Any]]] = {}  # by bridge and column
        self.interfaces = {one.name: one for port in old.ports.values() for one in port.interfaces}

    def parameters(self) -> list[Any]:
        for name in sorted(self.old.ports.keys() | self.new.ports.keys()):
            self._port(name, self.old.ports.get(name), self.new.ports.get(name))
        for key in sorted(self.old.mirrors.keys() | self.new.mirrors.keys()):
            self._mirror(key, self.old.mirrors.get(key), self.new.mirrors.get(key))
        for name in sorted(self.old.bridges.keys() | self.new.bridges.keys()):
            self._bridge(name, self.old.bridges.get(name), self.new.bridges.get(name))
        bridges = self._moved("", "bridges")
        for name in dict.fromkeys(bridge for bridge, _ in self.moves):
            there = {"columns": ["name"], "until": "==", "rows": [{"name": name}]}
            self.waits.append(self._waiting("Bridge", self._is("Bridge", name), there))
            moved = [one for column in HELD for one in self._moved(name, column)]
            self._change("mutate", "Bridge", self._is("Bridge", name), mutations=moved)
        root = [["_uuid", "==", ["uuid", self.old.seen.root]]]
        self._change("mutate", "Open_vSwitch", root, mutations=[*bridges, ["next_cfg", "+=", 1]])
        return ["Open_vSwitch", *self.waits, *self.changes, {"op": "comment", "comment": "bascule"}]

    # ---- rows

    def _bridge(self, name: str, old: BridgeRow | None, new: BridgeRow | None) -> None:
        if old is None and new is not None:
            self._insert(new, **{column: rows for key in HELD for column, _, rows in self._moved(name, key)})
            self._move("", "bridges", "insert", self._reference("Bridge", name))
        elif old is not None and new is None:
            self._wait(old, BridgeRow.columns)
            self._move("", "bridges", "delete", self._reference("Bridge", name))
        elif old is not None and new is not None:
            self._update(name, old, new)

    def _move(self, bridge: str, column: str, verb: str, row: list[str]) -> None:
        """What comes into a column of a bridge or leaves it; of the database itself under ""."""
        self.moves.setdefault((bridge, column), {}).setdefault(verb, []).append(row)

    def _moved(self, bridge: str, column: str) -> list[Any]:
        return [[column, verb, ["set", rows]] for verb, rows in self.moves.pop((bridge, column), {}).items()]

    def _port(self, name: str, old: PortRow | None, new: PortRow | None) -> None:
        if old is not None and (new is None or new.bridge != old.bridge):
            self._wait(old, PortRow.columns)
            if old.bridge in self.new.bridges:
                self._move(old.bridge, "ports", "delete", self._reference("Port", name))
        if new is None:
            return
        if old is None:
            for interface in new.interfaces:
                self._interface(interface)
            rows = [self._reference("Interface", interface.name) for interface in new.interfaces]
            self._insert(new, interfaces=["set", rows])
        else:
            self._update(name, old, new)
            before = {interface.name for interface in old.interfaces}
            for interface in new.interfaces:
                self._interface(interface)
            if before != {interface.name for interface in new.interfaces}:
                self._wait(old, PortRow.columns)
                members = ["set", [self._reference("Interface", one.name) for one in new.interfaces]]
                self._change("update", "Port", self._is("Port", name), row={"interfaces": members})
        self._queue(name, old.qos if old is not None else None, new.qos)
        if old is None or new.bridge != old.bridge:
            self._move(new.bridge, "ports", "insert", self._reference("Port", name))

    def _interface(self, new: InterfaceRow) -> None:
        """A new row, or that of the port that had it, as a NIC's is that goes into a bond."""
        if new.name in self.interfaces:
            self._update(new.name, self.interfaces[new.name], new)
        else:
            self._insert(new)

    def _queue(self, port: str, old: QosRow | None, new: QosRow | None) -> None:
        """How what leaves by a port is queued: a row of its own, which has no name and is not taken away by itself."""
        if old == new:
            return
        where = [["name", "==", port]]
        if old is not None:
            seen = {"columns": ["qos"], "until": "==", "rows": [{"qos": self._reference("QoS", port)}]}
            self.waits.append(self._waiting("Port", where, seen))
            if new is None:
                self._change("update", "Port", where, row={"qos": ["set", []]})
                self._change("delete", "QoS", self._is("QoS", port))
                return
        values = {column: datum(getattr(new, column)) for column in QosRow.columns}
        if old is not None:
            self._change("update", "QoS", self._is("QoS", port), row=values)
            return
        own = f"QoS/{port}"
        self.made[own] = f"row{len(self.made)}"
        self.changes.append({"op": "insert", "table": "QoS", "row": values, "uuid-name": self.made[own]})
        self._change("update", "Port", where, row={"qos": self._reference("QoS", port)})

    def _mirror(self, key: str, old: MirrorRow | None, new: MirrorRow | None) -> None:
        if old is not None and new is None and old.bridge in self.new.bridges:
            self._wait(old, MirrorRow.columns, key)
            self._move(old.bridge, "mirrors", "delete", self._reference("Mirror", key))
        if new is None or old == new:
            return
        ports = {
            column: ["set", [self._reference("Port", name) for name in getattr(new, column)]]
            for column in MirrorRow.ports
        }
        if old is None:
            self._insert(new, key, **ports)
            self._move(new.bridge, "mirrors", "insert", self._reference("Mirror", key))
        else:
            self._wait(old, MirrorRow.columns, key)
            values = {column: datum(getattr(new, column)) for column in MirrorRow.columns}
            self._change("update", "Mirror", self._is("Mirror", key), row=values | ports)

    # ---- operations

    def _insert(self, new: Row, key: str = "", **references: Any) -> None:
        own = f"{new.table}/{key or new.name}"
        self.made[own] = f"row{len(self.made)}"
        given = {column: datum(getattr(new, column)) for column in new.columns if is_set(new, column)}
        row = {"name": new.name, **given, **references}
        self.changes.append({"op": "insert", "table": new.table, "row": row, "uuid-name": self.made[own]})

    def _update(self, name: str, old: Row, new: Row) -> None:
        columns = [column for column in old.columns if getattr(old, column) != getattr(new, column)]
        if columns:
            self._wait(old, columns)
            values = {column: datum(getattr(new, column)) for column in columns}
            self._change("update", old.table, self._is(old.table, name), row=values)

    def _wait(self, row: Row, columns: Iterable[str], key: str = "") -> None:
        known = [column for column in columns if (row.table, column) not in self.old.seen.lacking]
        values = {column: datum(getattr(row, column)) for column in known}
        seen = {"columns": list(values), "until": "==", "rows": [values]}
        self.waits.append(self._waiting(row.table, self._is(row.table, key or row.name), seen))

    def _waiting(self, table: str, where: list[Any], rest: Mapping[str, Any]) -> Json:
        return {"op": "wait", "timeout": 0, "table": table, "where": where, **rest}

    def _change(self, op: str, table: str, where: list[Any], **rest: Any) -> None:
        self.changes.append({"op": op, "table": table, "where": where, **rest})

    # ---- names of rows

    def _is(self, table: str, name: str) -> list[Any]:
        return [["_uuid", "==", ["uuid", self.old.seen.uuids[f"{table}/{name}"]]]]

    def _reference(self, table: str, name: str) -> list[str]:
        own = f"{table}/{name}"
        return ["named-uuid", self.made[own]] if own in self.made else ["uuid", self.old.seen.uuids[own]]


def is_set(row: Row, column: str, before: Row | None = None) -> bool:
    """Whether a row's column is another than before, or than in a new row."""
    value = getattr(row, column, None)
    return (
        bool(value != getattr(before, column, None)) if before is not None else bool(value) or _is_vlan(column, value)
    )


def _is_vlan(column: str, value: Any) -> bool:
    """A set of one VLAN, which is VLAN 0; every other number is 0 in a new row."""
    return column in {"tag", "output_vlan"} and value == 0


def interfaces_in(parameters: Iterable[Any]) -> Iterator[str]:
    """The interfaces that a transaction makes."""
    for one in parameters:
        if isinstance(one, dict) and one.get("op") == "insert" and one.get("table") == InterfaceRow.table:
            yield one["row"]["name"]
