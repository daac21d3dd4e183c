"""The way back of every field of every part: what a change made goes, and what others made stays and is named.

The fields are those of test_every_part.py, which asks of the same states whether every verb sees them.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.plan.diff import diff
from bascule.plan.merge import first_pass, settle, way_back
from bascule.providers.dnsmasq import DNSMASQ
from bascule.providers.protocol import ThreeWay
from bascule.providers.shaping import SHAPING
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.tap_settings import TapSettingsProvider
from tests.architecture.test_every_part import BEFORE, OF_LINKS, PARTS, REST, STATE

# what no change does: a guest goes or stops by its administrator's hand, its link tells of a tap without a bridge, and
# a route or a neighbour has a link that is there
NEVER_OURS = ("QemuState.guests without", "DomainText.running", "QemuGuest.bridges without", "Route.dev",
              "FixedNeighbour.dev")  # fmt: skip
NOT_NAMED = (  # what else their administrator does with guests, networks and their servers is not told again
    "QemuState", "QemuGuest", "LibvirtState", "DomainText", "NetworkText", "DnsmasqState", "Server"
)  # fmt: skip
NO_VALUE = ("Route.gateway",)  # which the merge asks whether somebody can reach it
FIELDS = [(place, *pair) for place, one in (*OF_LINKS, *REST) for pair in ((STATE, one), (one, STATE))]
NAMES = [f"{place}-{'back' if other is STATE else 'there'}" for place, _, other in FIELDS]


def left(one: HostState, other: HostState) -> list[str]:
    return [f"{change.subject}: {change.action}" for change in diff(one, other).changes]


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "half-way"])
@pytest.mark.parametrize(("place", "before", "wanted"), FIELDS, ids=NAMES)
def test_what_a_change_made_goes(place: str, before: HostState, wanted: HostState, ended: bool) -> None:
    merged = way_back(ThreeWay(before=before, wanted=wanted, now=wanted, applied=wanted if ended else None))
    if not place.startswith(NEVER_OURS):
        assert (left(merged.part, before), merged.kept) == ([], ())


@pytest.mark.parametrize(("place", "before", "now"), FIELDS, ids=NAMES)
def test_what_others_made_stays_or_goes_whole_and_is_named(place: str, before: HostState, now: HostState) -> None:
    if place.startswith((*NEVER_OURS, *NO_VALUE)):
        return
    merged = way_back(ThreeWay(before=before, wanted=before, now=now, applied=before))
    goes, stays = left(now, merged.part), left(merged.part, before)
    assert not (goes and stays)
    assert goes or merged.kept or place.startswith(NOT_NAMED)
    assert not (goes and merged.kept), "it goes, and is called kept"


def without_tap(state: HostState) -> HostState:
    """The guest has stopped: its tap has gone, with what was set at it."""
    parts = {
        **state.parts,
        "shaping": replace(state.parts["shaping"], limits={}),
        "static_fdb": replace(state.parts["static_fdb"], entries={}),
    }
    links = {name: link for name, link in state.links.items() if name != "vnet0"}
    return replace(state, links=links, parts=parts)


@pytest.mark.parametrize("one", [SHAPING, STATIC_FDB], ids=lambda one: one.name)
def test_what_was_set_at_a_tap_that_has_gone_is_neither_put_back_nor_missed(one: TapSettingsProvider) -> None:
    bare = without_tap(STATE)
    change = ThreeWay(before=STATE, wanted=one.with_part(STATE, one.part(bare)), now=bare, applied=None)
    assert one.merge(change).part == one.part(bare)
    for before in (STATE, one.with_part(STATE, one.part(bare))):
        assert one.put_right(ThreeWay(before=before, wanted=STATE, now=bare, applied=STATE)) == one.part(bare)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_that_was_not_asked_before_or_now_stays_as_it_is(name: str) -> None:
    """Of who does not answer any more, and of who came to run after the change, an undo knows nothing."""
    bare = replace(STATE, parts={one: part for one, part in STATE.parts.items() if one != name})
    for before, now in ((bare, STATE), (STATE, bare)):
        for applied in (STATE, None):
            change = ThreeWay(before=before, wanted=STATE, now=now, applied=applied)
            merged = way_back(change)
            assert merged.part.parts.get(name) == now.parts.get(name)
            assert first_pass(merged.part, now).parts.get(name) == now.parts.get(name)
            assert settle(merged.part, change).parts.get(name) == now.parts.get(name)


@pytest.mark.parametrize("rebooted", [True, False])
def test_what_the_unit_of_a_change_made_when_the_machine_started_goes_as_well(rebooted: bool) -> None:
    """Only where it has such a unit, and none of before has made the network."""
    for before, wanted, some in ((BEFORE, STATE, ("lab",)), (STATE, BEFORE, ()), (BEFORE, without_unit(STATE), ())):
        change = ThreeWay(before=before, wanted=wanted, now=wanted, applied=None, rebooted=rebooted)
        assert DNSMASQ.merge(change).part.unmade == (some if rebooted else ())
    old = without_unit(STATE)
    assert DNSMASQ.merge(ThreeWay(before=old, wanted=STATE, now=STATE, rebooted=True, applied=None)).part.unmade == (
        "lab",
    )
    other = DNSMASQ.with_part(STATE, replace(STATE.parts["dnsmasq"], servers={"lab": OTHER_SERVER}))
    assert DNSMASQ.merge(ThreeWay(before=other, wanted=STATE, now=STATE, rebooted=True, applied=None)).part.unmade == ()


OTHER_SERVER = replace(STATE.parts["dnsmasq"].servers["lab"], arguments=("b",))


def without_unit(state: HostState) -> HostState:
    part = state.parts["dnsmasq"]
    servers = {name: replace(one, unit=None, script=None) for name, one in part.servers.items()}
    return DNSMASQ.with_part(state, replace(part, servers=servers))
