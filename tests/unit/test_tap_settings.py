"""Limits and static FDB entries as a site wants them: at taps that are there, and from udev at those that appear."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bascule.model.guarding import Bandwidth
from bascule.model.links import Bridge, Tap
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.providers.boot_files import HEADER
from bascule.providers.protocol import PlanInputs
from bascule.providers.shaping import SHAPING
from bascule.providers.shaping.state import Shaping, queue_name
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.static_fdb.state import StaticFdb
from bascule.site import parse
from tests.guards.segment import site_text

FDB = ("fdb: static", STATIC_FDB, StaticFdb(), ("52:54:00:00:00:0a",))
LIMIT = ("limit: {up: 10Mbit}", SHAPING, Shaping(), Bandwidth(up=10_000_000))
SETTINGS = [FDB, LIMIT]
BR0 = IfName("br0")
OURS, THEIRS = f"{HEADER}\nold", "# written by hand"


def links(*taps: str) -> tuple[Link, ...]:
    bridge = Link(name=BR0, options=Bridge(), up=True)
    return (bridge, *(Link(name=IfName(tap), options=Tap(), up=True, master=BR0) for tap in taps))


def wanted(said: str, one: Any, part: Any, *taps: str, lasting: bool = True) -> Any:
    site = parse(site_text("strict", said).encode(), "site.yaml")
    observed = HostState.of(links(*taps), parts={one.name: part})
    return one.want(site, site.hosts["h"], observed, observed, PlanInputs(lasting=lasting)).part


@pytest.mark.parametrize(("said", "one", "none", "value"), SETTINGS)
def test_what_the_file_says_is_set_at_taps_that_are_there(said: str, one: Any, none: Any, value: Any) -> None:
    there = wanted(said, one, none, "web.0", "db.0")
    assert getattr(there, one.field) == {"web.0": value}
    away = wanted(said, one, none, "db.0")
    assert getattr(away, one.field) == {}
    for part in (there, away):
        assert 'KERNEL=="web.0"' in part.udev
        assert "db.0" not in part.udev


@pytest.mark.parametrize(("said", "one", "none", "value"), SETTINGS)
def test_the_rule_of_udev_is_ours_alone(said: str, one: Any, none: Any, value: Any) -> None:
    """Where nothing lasts it stays as it was, where nothing is said ours goes, and what somebody else wrote stays."""
    del value
    for text in (None, OURS, THEIRS):
        there = replace(none, udev=text)
        assert wanted(said, one, there, "web.0", lasting=False).udev == text
        for lasting in (True, False):
            assert wanted("", one, there, "web.0", lasting=lasting).udev == (THEIRS if text is THEIRS else None)


def test_entries_that_the_file_does_not_speak_of_stay() -> None:
    theirs = {"db.0": ("02:00:00:00:00:77",)}
    there = StaticFdb(entries={**theirs, "web.0": ("02:00:00:00:00:78",)})
    assert wanted("fdb: static", STATIC_FDB, there, "web.0", "db.0").entries == {**theirs, "web.0": FDB[3]}
    assert wanted("", STATIC_FDB, there, "web.0", "db.0").entries == there.entries


def test_entries_are_made_anew_where_a_tap_moves_and_what_was_learned_is_forgotten() -> None:
    part = StaticFdb(entries={"web.0": FDB[3]})
    stays, elsewhere = (HostState.of(links("web.0"), parts={"static_fdb": part}) for _ in range(2))
    moved = Link(name=IfName("web.0"), options=Tap(), up=True, master=IfName("br9"))
    elsewhere = replace(elsewhere, links={**elsewhere.links, moved.name: moved})
    assert not list(STATIC_FDB.diff(stays, stays))
    bare = replace(stays, parts={"static_fdb": StaticFdb()})
    for before in (elsewhere, bare):
        (step,) = STATIC_FDB.diff(before, stays)
        assert [str(command) for command in step.commands] == [
            "bridge fdb replace 52:54:00:00:00:0a dev web.0 master static",
            "ip link set dev web.0 type bridge_slave fdb_flush",
        ]
    (step,) = STATIC_FDB.diff(stays, bare)
    assert [str(command) for command in step.commands] == ["bridge fdb del 52:54:00:00:00:0a dev web.0 master"]


def test_entries_go_where_the_file_says_that_a_port_learns() -> None:
    assert wanted("fdb: learned", STATIC_FDB, StaticFdb(entries={"web.0": FDB[3]}), "web.0", "db.0").entries == {}


def test_of_a_tap_that_has_gone_only_the_device_behind_its_limit_is_left_to_remove() -> None:
    limited, bare = (Shaping(limits=some) for some in ({"web.0": Bandwidth(up=10**7, down=10**7)}, {}))
    before = HostState.of(links("web.0"), parts={"shaping": limited})
    for taps, count in (((), 1), (("web.0",), 3)):
        (step,) = SHAPING.diff(before, HostState.of(links(*taps), parts={"shaping": bare}))
        assert len(step.commands) == count
        assert str(step.commands[-1]) == f"ip link del dev {queue_name('web.0')}"
