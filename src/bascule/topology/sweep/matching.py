"""Which of many packets a test holds for: surely, and perhaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bascule.topology.sweep.columns import Column, Sampled
from bascule.topology.trace.rules.evaluate import effects_of
from bascule.topology.trace.rules.lines import NoTrack, SetField, Translate
from bascule.topology.trace.rules.tests import (
    MISSING,
    AnyFlag,
    AnyTest,
    Bounds,
    Expr,
    Field,
    HeaderMissing,
    Test,
    Value,
    as_bounds,
    holds,
    read,
    value_of,
)

Rows = dict[int, int]
"""A set of packets: for each sender, by its place, the bits of receivers and services."""
LINKS = {"meta iifname", "meta oifname", "meta iif", "meta oif", "meta physin", "meta physout"}


class DependsOnBothEnds(Exception):  # it is no fault
    """That an expression depends on sender and receiver at once, so that no set tells it."""


class PacketSet(NamedTuple):
    """Packets of the senders in ``sources`` to what ``row`` has; where ``rows`` is given, those in it alone."""

    sources: int
    row: int
    rows: Rows | None = None

    def both(self, other: PacketSet) -> PacketSet:
        """What is in both."""
        rows = self.rows if other.rows is None else other.rows
        if self.rows is not None and other.rows is not None:
            rows = {one: row & other.rows[one] for one, row in self.rows.items() if one in other.rows}
        return PacketSet(self.sources & other.sources, self.row & other.row, rows)


NOTHING = PacketSet(0, 0)
Answer = tuple[PacketSet, PacketSet]
"""Of which packets something holds surely, and of which perhaps, the sure ones among them."""


class _Recorder(dict[str, Any]):
    """Fields of a packet that remember which of them were asked for."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.asked.append(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        self.asked.append(key)
        return super().get(key, default)


class Matcher:
    """Tests of many packets, which are alike in ``fields`` but for their columns; ``ports`` are those of links."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        ports: Mapping[str, Column],
        all_senders: int,
        full: int,
        senders: Iterable[int],
    ) -> None:
        self.fields = fields
        self.ports = ports
        self.all_senders = all_senders
        self.full = full
        self.senders = senders
        self.every = PacketSet(all_senders, full)
        self._known: dict[int, Answer] = {}
        self._raws: dict[str, Column | None] = {}

    def of(self, test: AnyTest) -> Answer:
        """The packets of which a test holds. Raises DependsOnBothEnds."""
        found = self._known.get(id(test))
        if found is None:
            found = self._known[id(test)] = self._plain(test) or self._general(test)
        return found

    def within(self, keys: Sequence[Expr], bounds: Sequence[Bounds]) -> Answer:
        """The packets whose fields lie within bounds, one for each key. Raises DependsOnBothEnds."""
        low = up = self.every
        is_torn = False  # what depends on both ends does not matter where the rest fits nobody
        for key, one in zip(keys, bounds, strict=True):
            try:
                value, column = self._value(key)
            except DependsOnBothEnds:
                is_torn = True
                continue
            if column is not None:
                found = self._side(column, column.within(one))
                low, up = low.both(found), up.both(found)
                continue
            answer = False if value is MISSING else holds(one, value)
            if answer is False:
                return NOTHING, NOTHING
            if answer is None:
                low = NOTHING
        if is_torn and up.sources and up.row:
            raise DependsOnBothEnds
        return low, up

    def effects(self, part: SetField | NoTrack) -> dict[str, Any]:
        """What a line changes in all packets alike. Raises DependsOnBothEnds where it differs."""
        recorder = _Recorder(self.fields)
        found = effects_of(part, recorder)
        if next(self._columns(recorder), None) is not None:
            raise DependsOnBothEnds
        return {key: value for key, value in found.items() if key not in self.fields or self.fields[key] != value}

    def is_one(self, nat: Translate) -> bool:
        """Whether NAT gives all packets the same address and port."""
        recorder = _Recorder(self.fields)
        for expression in (nat.address, nat.port, *(nat.pair[0] if nat.pair else ())):
            if expression is not None:
                value_of(expression, recorder)
        return next(self._columns(recorder), None) is None

    # ---- how it is found

    def _side(self, column: Column, mask: int) -> PacketSet:
        return PacketSet(mask, self.full) if column.is_source else PacketSet(self.all_senders, mask)

    def _columns(self, recorder: _Recorder) -> Iterator[Column]:
        for key in recorder.asked:
            column = self._column(key, self.fields.get(key))
            if column is not None:
                yield column

    def _column(self, key: str, value: Value | HeaderMissing) -> Column | None:
        if isinstance(value, Sampled):
            return value.column
        if key in LINKS and isinstance(value, str):
            return self.ports.get(value)
        return None

    def _value(self, key: Expr) -> tuple[Value | HeaderMissing, Column | None]:
        if not isinstance(key, Field):
            recorder = _Recorder(self.fields)
            value = value_of(key, recorder)
            if next(self._columns(recorder), None) is not None:
                raise DependsOnBothEnds
            return value, None
        value = read(self.fields, key.key)
        return value, self._raw(key.key) if key.key.startswith("@") else self._column(key.key, value)

    def _is_missing(self, key: Expr) -> bool:
        try:
            return self._value(key)[0] is MISSING
        except DependsOnBothEnds:
            return False

    def _raw(self, key: str) -> Column | None:
        """What the bits of a header are of each member, where they are those of fields that differ."""
        if key not in self._raws:
            recorder = _Recorder(self.fields)
            read(recorder, key)
            columns = list(dict.fromkeys(self._columns(recorder)))
            if len({column.is_source for column in columns}) > 1:
                raise DependsOnBothEnds
            self._raws[key] = self._read_of_each(key, columns) if columns else None
        return self._raws[key]

    def _read_of_each(self, key: str, columns: Sequence[Column]) -> Column:
        differing = self._differing(columns)
        each = [
            read({**self.fields, **{name: column.values[place] for name, column in differing}}, key)
            for place in range(len(columns[0].masks))
        ]
        if any(not isinstance(value, int | str) for value in each):  # of some it is not known
            raise DependsOnBothEnds
        return Column(
            [value for value in each if isinstance(value, int | str)], columns[0].masks, is_source=columns[0].is_source
        )

    def _differing(self, columns: Sequence[Column]) -> list[tuple[str, Column]]:
        """The fields whose values these columns have."""
        every = ((name, self._column(name, value)) for name, value in self.fields.items())
        return [(name, found) for name, found in every if found is not None and found in columns]

    def _answer(self, holding: bool | None) -> Answer:  # noqa: FBT001  # an answer
        if holding:
            return self.every, self.every
        return NOTHING, NOTHING if holding is False else self.every

    def _plain(self, test: AnyTest) -> Answer | None:
        """A test of one field as it stands, which most are; None for all else."""
        if not isinstance(test, Test) or len(test.keys) != 1 or not isinstance(test.keys[0], Field):
            return None
        key = test.keys[0].key
        value = read(self.fields, key)
        column = self._column(key, value)
        if value is MISSING:
            return NOTHING, NOTHING
        if column is None:
            return None if key.startswith("@") else self._answer(test.holds(self.fields))
        if test.moving:
            return NOTHING, self.every
        mask = column.among(test)
        if test.negated:
            mask ^= self.all_senders if column.is_source else self.full
        found = self._side(column, mask)
        return found, found

    def _general(self, test: AnyTest) -> Answer:
        recorder = _Recorder(self.fields)
        holding = test.holds(recorder)
        columns = list(dict.fromkeys(self._columns(recorder)))
        if not columns and isinstance(test, Test) and len(test.keys) > 1:  # it may have ended before it asked for all
            columns = [found for key in test.keys if (found := self._value(key)[1]) is not None]
        if not columns:
            return self._answer(holding)
        if len({column.is_source for column in columns}) == 1 and not _is_joined(test):
            return self._each(test, columns)
        if isinstance(test, AnyFlag) or not isinstance(test, Test):
            raise DependsOnBothEnds
        if any(map(self._is_missing, test.keys)):
            return NOTHING, NOTHING
        if test.moving:
            return NOTHING, self.every
        low, up = self._union(test)
        return (self._without(up), self._without(low)) if test.negated else (low, up)

    def _each(self, test: AnyTest, columns: Sequence[Column]) -> Answer:
        """A test whose fields are all of one side, for one member of it after the other."""
        low = up = 0
        differing = self._differing(columns)
        for place, mask in enumerate(columns[0].masks):
            answer = test.holds({**self.fields, **{name: column.values[place] for name, column in differing}})
            if answer is not False:
                up |= mask
                low |= mask if answer else 0
        return self._side(columns[0], low), self._side(columns[0], up)

    def _union(self, test: Test) -> Answer:
        """Elements of several fields: each is a box, and all boxes together are the set."""
        low: Rows = {}
        up: Rows = {}
        for bounds in (*map(as_bounds, test.exact), *test.ranged):
            sure, maybe = self.within(test.keys, bounds)
            for rows, box in ((low, sure), (up, maybe)):
                if box.row:
                    for place in bits(box.sources):
                        rows[place] = rows.get(place, 0) | box.row
        return PacketSet(self.all_senders, self.full, low), PacketSet(self.all_senders, self.full, up)

    def _without(self, found: PacketSet) -> PacketSet:
        assert found.rows is not None
        return PacketSet(
            self.all_senders, self.full, {one: self.full & ~found.rows.get(one, 0) for one in self.senders}
        )


def _is_joined(test: AnyTest) -> bool:
    return isinstance(test, Test) and len(test.keys) > 1 and all(isinstance(key, Field) for key in test.keys)


def bits(mask: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
