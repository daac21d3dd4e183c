"""Wake-on-LAN: planned where a NIC can, told where it cannot, kept by every dialect that has a word for it."""

from __future__ import annotations

import pytest

from bascule.host.live import LiveHost
from bascule.model.links import Physical
from bascule.model.links.wake_on_lan import ethtool_words, letters, manager_flags, of_bits, of_manager_flags
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.batch import script
from bascule.plan.diff import diff
from bascule.plan.make import make_plan
from bascule.plan.merge import way_back
from bascule.providers.effects import ObserveScope
from bascule.providers.json import from_json, to_json
from bascule.providers.observe import look
from bascule.providers.protocol import ThreeWay
from bascule.providers.wake_on_lan import WakeOnLan
from bascule.site import parse
from bascule.verify.state import StateChecks, check_links
from tests.lab import Lab

SITE = b"""
site: s
hosts:
  h:
    nics: {eth0: {wol: magic}, eth1: {wol: off}, eth2: {wol: [magic, arp]}, eth3: {wol: magic}, eth4: {}}
"""
SEEN = {
    "eth0": WakeOnLan((), ("magic", "unicast")),
    "eth1": WakeOnLan(("magic",), ("magic",)),
    "eth2": WakeOnLan((), ("magic",)),
    "eth3": WakeOnLan(None),
}


def observed(part: dict[str, WakeOnLan] | None = None) -> HostState:
    names = [IfName(f"eth{number}") for number in range(5)]
    return HostState.of(
        [Link(name=name, options=Physical(), up=True) for name in names],
        parts={"wake_on_lan": SEEN if part is None else part},
    )


def test_it_is_set_where_the_driver_can_and_told_where_it_cannot_and_taken_back() -> None:
    site = parse(SITE, "site.yaml")
    plan, wanted = make_plan(site, site.hosts["h"], observed())
    assert script(plan).splitlines() == ["ethtool -s eth0 wol g", "ethtool -s eth1 wol d"]
    told = {note.subject: note.text for note in plan.notes if note.kind == "unsupported"}
    assert "wake-on-LAN arp is not supported by its driver, which supports magic" in told["eth2"]
    assert "its driver has no wake-on-LAN" in told["eth3"]
    goal = way_back(ThreeWay(before=observed(), wanted=wanted, now=wanted, applied=wanted)).part
    assert script(diff(wanted, goal)).splitlines() == ["ethtool -s eth0 wol d", "ethtool -s eth1 wol g"]
    assert from_json(to_json(wanted)) == wanted


def test_what_cannot_be_asked_is_unproven_and_never_holds() -> None:
    site = parse(SITE, "site.yaml")
    host = site.hosts["h"]
    done = observed({**SEEN, "eth0": WakeOnLan(("magic",), ("magic",)), "eth1": WakeOnLan((), ("magic",))})
    plan, _ = make_plan(site, host, done)
    checks = {c.subject: c.ok for c in check_links(site, host, done, StateChecks(plan)) if c.id == "wake-on-lan"}
    assert checks == {"eth0": True, "eth1": True, "eth2": None, "eth3": None}
    unasked = HostState.of(done.links.values())
    plan, _ = make_plan(site, host, unasked)
    assert {c.ok for c in check_links(site, host, unasked, StateChecks(plan)) if c.id == "wake-on-lan"} == {None}


@pytest.mark.kernel
def test_a_veth_is_asked_and_has_none(lab: Lab) -> None:
    """The kernel is asked for real: a veth pair has no wake-on-LAN, and says so."""
    site = parse(SITE, "site.yaml")
    where = LiveHost(lab.host(*site.hosts["h"].nics))
    seen = look(ObserveScope(site=site, host=site.hosts["h"], where=where))
    assert seen.parts["wake_on_lan"] == {f"eth{number}": WakeOnLan(None) for number in range(4)}


@pytest.mark.parametrize(
    "text, said",
    [("wol g", "g"), ("-s eth0 wol pg", "gp"), ("wol=d", "d"), ("wol d", "d"), ("wol gumba", "gumba")],
)
def test_words_of_ethtool(text: str, said: str) -> None:
    assert set(letters(ethtool_words(text))) == set(said)


def test_masks() -> None:
    assert of_bits(0x23) == ("magic", "phy", "unicast")
    assert [of_manager_flags(text) for text in ("1", "0x8000", "64", "0")] == [None, None, ("magic",), ()]
    assert manager_flags(("magic", "arp")) == 0x60

    with pytest.raises(ValueError, match="no key for"):
        of_manager_flags("0x140")
