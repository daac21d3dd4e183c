"""A bond that had no primary has none again on the way back, though ip(8) does not support that."""

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


def test_what_ip_has_no_word_for_is_written_to_sysfs() -> None:
    before, made = host(None), host("eth5")
    found = way_back(ThreeWay(before=before, wanted=made, now=made, applied=made))
    assert found.kept == ()
    changes = diff(made, found.part).changes
    assert [str(one) for change in changes for one in change.commands] == [
        "echo > /sys/class/net/bond0/bonding/primary"
    ]
    again = way_back(ThreeWay(before=host("eth5"), wanted=made, now=made, applied=made))
    assert not diff(made, again.part).changes
