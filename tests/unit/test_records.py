"""Our dataclass against the standard library's: the same classes made by both, and nothing tells them apart."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from bascule import records


def family(dataclass: Callable[..., Any]) -> dict[str, Any]:
    """A class of each sort that the project has."""

    @dataclass(frozen=True, slots=True, order=True)
    class Point:
        """Positional, ordered."""

        x: int
        y: int = 0

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Link:
        """Everything that a field can be."""

        kind: ClassVar[str] = "link"
        name: str
        mtu: int | None = 1500
        ports: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)
        index: int = dataclasses.field(default=0, compare=False)
        token: str = dataclasses.field(default="secret", repr=False)
        upper: str = dataclasses.field(default="", init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "upper", self.name.upper())

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Bridge(Link):
        """Inherits fields, and gives one another default."""

        stp: bool = False
        mtu: int | None = None

    @dataclass(slots=True)
    class Draft:
        """Changes while it is made."""

        roots: list[str] = dataclasses.field(default_factory=list)
        number: int = 0
        later: int = dataclasses.field(init=False)

    @dataclass(frozen=True, slots=True)
    class Named:
        """Has its own words and its own sameness."""

        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

    @dataclass(frozen=True, slots=True)
    class Empty:
        """No field at all."""

    return {each.__name__: each for each in (Point, Link, Bridge, Draft, Named, Empty)}


OURS, THEIRS = family(records.dataclass), family(dataclasses.dataclass)

TRIED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a default": lambda f: f["Point"](3).y,
    "shown": lambda f: repr(f["Link"](name="br0", ports={"eth0": 1})).replace("<locals>.", ""),
    "an inherited field's new default": lambda f: repr(f["Bridge"](name="br0", stp=True)),
    "shown in its own words": lambda f: repr(f["Named"]("A")),
    "no field": lambda f: (repr(f["Empty"]()), f["Empty"]() == f["Empty"](), hash(f["Empty"]())),
    "after its making": lambda f: f["Link"](name="br0").upper,
    "the same": lambda f: f["Link"](name="br0", index=1) == f["Link"](name="br0", index=2),
    "not the same": lambda f: f["Link"](name="br0") == f["Link"](name="br1"),
    "of another class": lambda f: f["Link"](name="br0") == f["Bridge"](name="br0", mtu=1500),
    "unlike anything else": lambda f: f["Point"](1) == 1,
    "its own sameness": lambda f: (f["Named"]("A") == f["Named"]("a"), len({f["Named"]("A"), f["Named"]("a")})),
    "hashed": lambda f: hash(f["Point"](1, 2)),
    "hashed without a dict": lambda f: hash(f["Link"](name="br0", ports={"a": 1}, index=9)),
    "a draft has no hash": lambda f: hash(f["Draft"]()),
    "in order": lambda f: sorted([f["Point"](2), f["Point"](1, 5), f["Point"](1)])[0].y,
    "compared": lambda f: (
        f["Point"](1) < f["Point"](2),
        f["Point"](1) >= f["Point"](1),
        f["Point"](1) > f["Point"](1),
    ),
    "not compared": lambda f: f["Named"]("a") < f["Named"]("b"),
    "never a shared list": lambda f: f["Draft"]().roots is f["Draft"]().roots,
    "not yet set": lambda f: f["Draft"]().later,
    "a draft is changed": lambda f: setattr(f["Draft"](), "number", 2),
    "a record is not": lambda f: setattr(f["Point"](1), "x", 2),
    "nor deleted": lambda f: delattr(f["Point"](1), "x"),
    "replaced": lambda f: repr(dataclasses.replace(f["Bridge"](name="br0"), mtu=9000)),
    "replaced, never what is made": lambda f: dataclasses.replace(f["Link"](name="br0"), upper="x"),
    "as a dict": lambda f: dataclasses.asdict(f["Link"](name="br0")),
    "copied": lambda f: copy.deepcopy(f["Link"](name="br0", ports={"a": 1})) == f["Link"](name="br0", ports={"a": 1}),
    "a name missing": lambda f: f["Link"](),
    "a name too many": lambda f: f["Link"](name="br0", colour=1),
    "by position where names are a must": lambda f: f["Link"]("br0"),
    "too many": lambda f: f["Point"](1, 2, 3),
    "matched": lambda f: f["Point"].__match_args__,
    "its fields": lambda f: [(each.name, each.kw_only, each.compare) for each in dataclasses.fields(f["Bridge"])],
    "no dict": lambda f: hasattr(f["Point"](1), "__dict__"),
}


def outcome(tried: Callable[[dict[str, Any]], object], of: dict[str, Any]) -> object:
    try:
        return tried(of)
    except (TypeError, AttributeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", TRIED)
def test_nothing_tells_ours_from_the_standard_library_s(name: str) -> None:
    once, again = outcome(TRIED[name], OURS), outcome(TRIED[name], OURS)
    assert once == again == outcome(TRIED[name], THEIRS)


@records.dataclass(frozen=True, slots=True)
class Sent:
    """Goes through a pipe."""

    name: str
    numbers: tuple[int, ...] = ()


def test_a_record_goes_through_a_pipe() -> None:
    assert pickle.loads(pickle.dumps(Sent("a", (1, 2)))) == Sent("a", (1, 2))


def test_nothing_is_compiled_before_it_is_called() -> None:
    fresh = family(records.dataclass)["Link"]
    assert inspect.signature(fresh.__init__).parameters.keys() == {"args", "kwargs"}
    fresh(name="br0")
    assert list(inspect.signature(fresh.__init__).parameters)[:2] == ["self", "name"]
