"""No field of the model is forgotten by the plan, and so by verify, status and draw, which say what it would change.

The fields are those of the model: one that is new is asked about here without a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from bascule.draw.scene.compare import SeenHost
from bascule.model.links import KINDS, Bridge, BridgePort, Dummy, LinkOptions, Vlan
from bascule.model.state import Address, HostState, Link, PortVlans, RoutingRule
from bascule.model.values import IfName, Mac
from bascule.plan.diff import diff
from bascule.plan.drift import drift_goal
from bascule.providers.kernel.merge import merge
from bascule.providers.protocol import ThreeWay
from bascule.verify.state import StateChecks

NAME, OTHER = IfName("it"), IfName("other")
BRIDGE = Link(name=IfName("br0"), options=Bridge(vlan_filtering=1), up=True)
VALUES: dict[type, Any] = {int: 7, str: "other", bool: True, IfName: OTHER, Mac: Mac("02:00:00:00:00:07")}
OF_LINK = {  # what a link may have of each field whose value is none of these
    "port": (BridgePort(), BridgePort(isolated=True)),
    "vlans": ((), (PortVlans(first=7, last=7),)),
    "addresses": ((), (Address(ip="192.0.2.7/24"),)),
    "master": (None, BRIDGE.name),
    "altnames": ((), ("bascule-other",)),
    "addrgenmode": ("eui64", "none"),  # which address a link makes itself is no drift, whether it makes one is
}
# what says which link it is, and what is of the moment: nothing is to be changed where that differs
NEITHER = {"name", "options", "facts"}
KEPT = {"mac"}  # where none is wanted
BY_KERNEL = [kind for kind in KINDS.values() if kind.by_kernel and kind.is_link and kind.kind not in {"", "loopback"}]


def pairs(kind: type, given: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Each field with two values that it can have."""
    for field in structs.fields(kind):
        if field.name in given:
            yield (field.name, *given[field.name])
            continue
        default = field.default
        types = getattr(field.type, "__args__", (field.type,))
        other = next(VALUES[one] for one in types if one in VALUES)
        yield field.name, default, (not default) if isinstance(default, bool) else other


def changes(one: Link, other: Link) -> list[str]:
    """Whom a plan from the one to the other is about; verify, draw and status say what it does, and in its words.

    For status a change has made the link, or altered one that was there in this very thing.
    """
    beside = [BRIDGE, Link(name=OTHER, options=Dummy(), up=True)]
    now, wanted, bare = (HostState.of([*beside, *links]) for links in ((one,), (other,), ()))
    plan = diff(now, wanted)
    told = [(change.subject, change.action) for change in plan.changes]
    assert told == list(SeenHost(state=now, plan=plan).drift)
    said = [(check.subject, check.detail) for check in StateChecks(plan).rest() if check.ok is False]
    assert [(subject, f"to do: {action}") for subject, action in told] == said
    for before in (bare, now) if one.altnames == other.altnames else ():  # names are others', whom no change hinders
        drift = diff(now, drift_goal(ThreeWay(before=before, wanted=wanted, now=now, applied=wanted)))
        assert [(change.subject, change.action) for change in drift.changes] == told, "status"
    return [subject for subject, _ in told]


OPTIONS = [(kind, *pair) for kind in BY_KERNEL for pair in pairs(kind, {})]


@pytest.mark.parametrize(("kind", "field", "one", "other"), OPTIONS, ids=[f"{x[0].kind}-{x[1]}" for x in OPTIONS])
def test_a_kinds(kind: type[LinkOptions], field: str, one: Any, other: Any) -> None:
    parent = OTHER if kind.kind in {"vlan", "macvtap", "veth"} else None
    first, second = (Link(name=NAME, options=kind(**{field: x}), up=True, parent=parent) for x in (one, other))
    assert NAME in changes(first, second)
    assert NAME in changes(second, first) or None in {one, other}, "and back"


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [x for x in pairs(Link, {**OF_LINK, **dict.fromkeys(NEITHER, (0, 0))}) if x[0] not in NEITHER],
)
def test_a_links(field: str, one: Any, other: Any) -> None:
    options = Vlan(id=7) if field == "parent" else Dummy()
    link = Link(name=NAME, options=options, up=True, master=BRIDGE.name if field in {"port", "vlans"} else None)
    first, second = (replace(link, **{field: value}) for value in (one, other))
    assert changes(first, second)
    assert changes(second, first) or field in KEPT, "and back"


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [x for x in pairs(Link, {**OF_LINK, **dict.fromkeys(NEITHER, (0, 0))}) if x[0] not in NEITHER],
)
def test_what_others_made_of_a_field_has_words(field: str, one: Any, other: Any) -> None:
    """What an undo keeps, or takes away with what it does, is said as iproute2 would, and not as Python does."""
    link = Link(name=NAME, options=Bridge(), up=True, master=BRIDGE.name if field in {"port", "vlans"} else None)
    before, now = (HostState.of([BRIDGE, replace(link, **{field: value})]) for value in (one, other))
    kept = merge(ThreeWay(before=before, wanted=before, now=now, applied=before)).kept
    changed = HostState.of([BRIDGE, replace(link, **{"mtu": 1400, field: one})])
    kept += merge(ThreeWay(before=before, wanted=changed, now=now, applied=changed)).kept
    assert kept
    assert not [words for words in kept if re.search(r"\(|True|False|None|=", words)]


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [x for x in pairs(Link, {**OF_LINK, **dict.fromkeys(NEITHER, (0, 0))}) if x[0] not in NEITHER | {"addresses"}],
)
def test_what_the_kernel_made_of_a_field_with_a_change_goes_with_it(field: str, one: Any, other: Any) -> None:
    """No plan said so, but it was otherwise right after the change: nobody else did it."""
    link = Link(name=NAME, options=Bridge(), up=True, master=BRIDGE.name if field in {"port", "vlans"} else None)
    before, now = (HostState.of([BRIDGE, replace(link, **{field: value})]) for value in (one, other))
    back = merge(ThreeWay(before=before, wanted=before, now=now, applied=now))
    assert getattr(back.part.links[NAME], field) == one
    assert back.kept == ()


def test_what_others_made_of_rules_has_words() -> None:
    state = HostState.of([BRIDGE])
    now = replace(state, rules=(RoutingRule(priority=100, words=("from", "192.0.2.0/24", "table", "52"), ipv6=True),))
    kept = merge(ThreeWay(before=state, wanted=state, now=now, applied=state)).kept
    assert kept == ("IPv6 rule 100 from 192.0.2.0/24 table 52 is new",)


@pytest.mark.parametrize(("field", "one", "other"), list(pairs(BridgePort, {})))
def test_a_ports(field: str, one: Any, other: Any) -> None:
    link = Link(name=NAME, options=Dummy(), up=True, master=BRIDGE.name)
    first, second = (replace(link, port=BridgePort(**{field: x})) for x in (one, other))
    assert NAME in changes(first, second)
    assert NAME in changes(second, first) or one is None, "and back"
