"""A kind of link is one file and one entry: an unknown kind is read, planned, made for real, and kept."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from bascule.model.links import KINDS, LinkOptions, read_kind
from bascule.model.state import MARK, HostState, Link
from bascule.model.values import IfName
from bascule.plan.diff import diff
from bascule.providers.json import from_json, to_json
from bascule.providers.observe import observe
from tests.lab import Lab


class Vrf(LinkOptions, frozen=True, kw_only=True):
    """A routing domain of its own (Documentation/networking/vrf.rst)."""

    kind: ClassVar[str] = "vrf"
    fixed: ClassVar[frozenset[str]] = frozenset({"table"})

    table: int = 0


class Ifb(LinkOptions, frozen=True, kw_only=True):
    """A link whose frames come back in: for shaping what arrives."""

    kind: ClassVar[str] = "ifb"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Any = KINDS
    for kind in (Vrf, Ifb):
        monkeypatch.setitem(known, kind.kind, kind)


def of(options: LinkOptions, name: str) -> HostState:
    return HostState.of([Link(name=IfName(name), options=options, up=True, alias=f"{MARK}t")])


@pytest.mark.usefixtures("registered")
def test_its_options_are_read_written_and_kept() -> None:
    assert read_kind("vrf", {"table": 77}) == Vrf(table=77)
    state = of(Vrf(table=77), "red")
    assert from_json(json.loads(json.dumps(to_json(state)))) == state
    lines = [str(command) for command in diff(HostState(), state).commands]
    assert lines[0] == "ip link add name red type vrf table 77"
    assert any(change.action.startswith("is made anew") for change in diff(state, of(Vrf(table=78), "red")).changes)
    assert [str(command) for command in diff(state, HostState()).commands] == ["ip link del dev red"]


@pytest.mark.kernel
@pytest.mark.usefixtures("registered")
def test_the_kernel_takes_what_the_plan_says(lab: Lab) -> None:
    host = lab.namespace("host")
    made, seen = Link(name=IfName("late0"), options=Ifb(), up=True, alias=f"{MARK}t"), observe(namespace=host)
    plan = diff(seen, HostState.of([*seen.links.values(), made], sysctls=seen.sysctls))
    for command in plan.commands:
        assert command.tool == "ip"
        try:
            lab.ip(host, " ".join(command.words))
        except Exception as error:  # this kernel may lack the kind: then there is nothing to see
            if "Unknown device type" in str(getattr(error, "stderr", error)) or "not supported" in str(error).lower():
                pytest.skip("this kernel has no ifb")
            raise
    found = observe(namespace=host).links[IfName("late0")]
    assert (found.options, found.up, found.alias) == (Ifb(), True, f"{MARK}t")
