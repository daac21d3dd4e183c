"""A bond that had no primary keeps the one that a change gave it, and the way back says so."""

from __future__ import annotations

from bascule.model.links import Bond, Physical
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.diff import diff
from bascule.plan.merge import way_back
from bascule.providers.protocol import ThreeWay


def host(primary: str | None) -> HostState:
    options = Bond(mode="active-backup", primary=primary)
    nic = Link(name=IfName("eth5"), options=Physical(), master=IfName("bond0"), up=True)
    return HostState.of([Link(name=IfName("bond0"), options=options, up=True), nic])


def test_what_ip_cannot_take_away_is_told() -> None:
    before, made = host(None), host("eth5")
    found = way_back(ThreeWay(before=before, wanted=made, now=made, applied=made))
    assert not diff(made, found.part).changes
    by_hand = "'echo > /sys/class/net/bond0/bonding/primary' does"
    assert found.kept == (f"bond0 keeps its primary eth5, which ip cannot take away: {by_hand}",)
    again = way_back(ThreeWay(before=host("eth5"), wanted=made, now=made, applied=made))
    assert again.kept == ()
