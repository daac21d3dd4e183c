"""From domains that are there to guests of the file: what would change, and whom it cuts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.guests.changes import Act, plan_guests
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import GuestNic
from bascule.plan.change import Risk
from bascule.providers.guest_nics import waiting, with_live_taps
from tests.guests.values import guest, nic, site

NIC = nic("g1", 0, "br4")
G1 = guest("g1", NIC)


def domain(kind: str, into: str, *, running: bool = True, later: tuple[str, str] | None = None) -> Domain:
    def one(plug: tuple[str, str]) -> tuple[DomainNic, ...]:
        return (DomainNic(index=0, kind=plug[0], into=plug[1], mac=NIC.mac),)

    return Domain(name="g1", running=running, nics=one((kind, into)), next_nics=one(later or (kind, into)))


@pytest.mark.parametrize(
    ("there", "act", "risk"),
    [
        (None, Act.DEFINE, Risk.ADDITION),
        (domain("bridge", "br4"), None, None),
        (domain("network", "default"), Act.REPLUG, Risk.DETACHES),
        (domain("network", "default", running=False), Act.REDEFINE, Risk.ADDITION),
        (domain("bridge", "br4", later=("bridge", "br3")), Act.REDEFINE, Risk.ADDITION),
        (Domain(name="g1", running=True), Act.ATTACH, Risk.ADDITION),
        (domain("direct", "eth4"), Act.REPLUG, Risk.ADDITION),
    ],
)
def test_what_would_change(there: Domain | None, act: Act | None, risk: Risk | None) -> None:
    found = plan_guests([there] if there else [], site(G1), "h")
    if act is None:
        assert found == ()
        return
    (change,) = found
    assert change.act is act
    assert change.as_change().risk is risk
    assert change.as_change().guests == ("g1",)
    assert change.as_change().cuts == (("g1",) if risk is Risk.DETACHES else ())


def test_what_needs_a_restart_says_so() -> None:
    (change,) = plan_guests([domain("direct", "eth4")], site(G1), "h")
    assert "from its next start on (a macvtap cannot be moved while the guest runs)" in change.as_change().action


def test_a_guest_of_somebody_else_is_known_by_its_number_unless_the_file_gives_a_mac() -> None:
    other = replace(domain("network", "default"), nics=(DomainNic(index=0, kind="network", into="default"),))
    assert [c.act for c in plan_guests([other], site(G1), "h")] == [Act.REPLUG]
    given: GuestNic = replace(NIC, mac_given=True)
    bare = replace(other, next_nics=other.nics)
    assert [c.act for c in plan_guests([bare], site(guest("g1", given)), "h")] == [Act.ATTACH]


def test_what_waits_for_a_start_is_no_change_any_more() -> None:
    there = domain("direct", "eth4", later=("bridge", "br4"))
    assert plan_guests([there], site(G1), "h") == ()
    (note,) = waiting([there], site(G1), "h")
    assert note.text == (
        "NIC 0 is on direct eth4 until it is shut down and started again "
        "(a macvtap cannot be moved while the guest runs)"
    )
    assert list(waiting([domain("bridge", "br4")], site(G1), "h")) == []


def test_a_cable_that_is_out_is_put_in_again() -> None:
    out = replace(domain("bridge", "br4").nics[0], link_up=False)
    (change,) = plan_guests([replace(domain("bridge", "br4"), nics=(out,))], site(G1), "h")
    assert change.as_change().action == "its cable is put into bridge br4 again"


def test_the_plan_is_about_the_taps_that_run() -> None:
    nics = (replace(domain("network", "default").nics[0], tap="vnet7"),)
    running = replace(domain("network", "default"), nics=nics)
    told = site(G1)
    assert [n.tap for n in with_live_taps(told, told.hosts["h"], [running]).guest_nics("h")] == ["vnet7"]
    off = replace(running, running=False)
    assert with_live_taps(told, told.hosts["h"], [off]) == told
    macvtap = replace(running, nics=(replace(nics[0], kind="direct", tap="macvtap0"),))
    assert with_live_taps(told, told.hosts["h"], [macvtap]) == told
