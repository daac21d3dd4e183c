from __future__ import annotations

import pytest

from bascule.draw import Highlight, draw, make_scene
from bascule.draw.scene.elements import Path
from bascule.errors import UsageFault
from bascule.model.site import Mode, Site
from tests.draw import sites


def way(site: Site, source: str, target: str) -> Path:
    path = make_scene(site, highlight=(source, target)).path
    assert path is not None
    return path


def names(path: Path) -> list[str]:
    return [node.rsplit("/", 1)[-1] for node in path.nodes]


def test_masqueraded_guest_goes_through_the_firewall() -> None:
    path = way(sites.production(), "guest_02", "customer")
    assert names(path) == ["guest_02", "guest_02.0", "br3", "eth4", "internal", "dmz", "internet", "customer"]
    assert path.reached
    assert "seen as dmz" in path.end
    assert len(path.edges) == len(path.nodes) - 1


def test_the_firewall_stops_who_may_not_go_out() -> None:
    path = way(sites.production(), "guest_03", "customer")
    assert names(path)[-1] == "dmz"
    assert not path.reached
    assert path.end == "ends at dmz: it does not forward what comes from guest_03 to internet"


def test_nothing_from_outside_gets_in() -> None:
    path = way(sites.production(), "customer", "guest_02")
    assert names(path) == ["customer", "internet", "dmz"]
    assert not path.reached


def test_the_host_is_an_endpoint() -> None:
    path = way(sites.production(), "vmserver", "guest_01")
    assert path.reached
    assert names(path) == ["eth3", "eth3", "internet", "eth5", "br4", "guest_01.0", "guest_01"]


@pytest.mark.parametrize(("target", "reached"), [("vm1", True), ("vm2", False)])
def test_nat_lets_in_only_what_is_forwarded(target: str, reached: bool) -> None:
    path = way(sites.lab(Mode.NAT), "desk", target)
    assert path.reached is reached
    if not reached:
        assert "nothing gets in through masquerade" in path.end


def test_nat_lets_out_under_the_hosts_address() -> None:
    path = way(sites.lab(Mode.NAT), "vm2", "desk")
    assert path.reached
    assert "seen as desktop" in path.end


def test_isolated_has_no_way() -> None:
    path = way(sites.lab(Mode.ISOLATED), "vm1", "desk")
    assert not path.reached
    assert path.end == "ends at lab: network lab is isolated: nothing leaves it"


def test_a_tag_does_not_change_on_a_vlan_aware_bridge() -> None:
    path = way(sites.trunk(), "pc", "switch")
    assert not path.reached


def test_a_witness_says_where_the_frame_was_seen() -> None:
    hops = (("guest_03", "eth0"), ("vmserver", "br3"), ("vmserver", "eth4"), ("dmz", "eth0"))
    path = make_scene(sites.production(), highlight=("guest_03", "customer", hops)).path
    assert path is not None
    assert names(path) == ["guest_03", "guest_03.0", "br3", "eth4", "internal", "dmz"]
    assert path.end == "last seen at dmz, and no further"
    reached = Highlight(source="guest_02", target="customer", hops=(("vmserver", "eth4"),), reached=True)
    drawing = draw(sites.production(), highlight=reached, format="svg")
    assert "guest_02 reaches customer" in drawing


def test_a_rehearsals_witness_maps_on_the_picture() -> None:
    hops = [("guest_02", "eth0"), ("vmserver", "guest_02.0"), ("vmserver", "eth4"), ("internal", "vmserver.eth4")]
    hops += [("internal", "dmz.0"), ("dmz", "eth0"), ("dmz", "eth1"), ("internet", "dmz.1")]
    hops += [("internet", "customer.0"), ("customer", "eth0")]
    path = make_scene(sites.production(), highlight=("guest_02", "customer", hops)).path
    assert path is not None
    assert path.reached
    assert names(path) == ["guest_02", "guest_02.0", "br3", "eth4", "internal", "dmz", "internet", "customer"]


def test_hops_that_nobody_knows_are_left_out() -> None:
    path = make_scene(
        sites.production(), highlight=("guest_03", "desk", [("nowhere", "x9"), ("vmserver", "eth4")])
    ).path
    assert path is not None
    assert names(path)[-1] == "eth4"


def test_an_unknown_endpoint_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageFault) as caught:
        draw(sites.production(), highlight=("guest_2", "customer"))
    assert "'guest_2' is not a guest" in str(caught.value)
    assert "did you mean 'guest_02'?" in str(caught.value)


def test_a_highlighted_guest_is_never_hidden_among_many() -> None:
    host = sites.host("h", sites.nic("eth0", "internal"), sites.bridge("br0", "eth0"))
    guests = [sites.guest(f"web-{i:02}", "h", sites.plug("br0", "dhcp")) for i in range(1, 21)]
    site = sites.site("farm", [sites.INTERNAL], [host], guests, [sites.machine("desk", ("internal", "192.168.1.5/24"))])
    drawing = draw(site, highlight=("web-07", "desk"), width=100)
    assert "┃ web-07" in drawing
    assert "×19" in drawing


def live(source: str, target: str) -> str:
    site, state = sites.drifted()
    path = make_scene(site, observed={"vmserver": state}, highlight=(source, target)).path
    assert path is not None
    return path.end


@pytest.mark.parametrize(
    ("source", "target", "end"),
    [
        ("desk", "guest_03", "ends at internal: eth4 has no carrier"),
        ("customer", "guest_01", "ends at eth5: eth5 is blocked by STP"),
        ("guest_01", "customer", "ends at guest_01: guest_01.0 is not there"),
        ("guest_02", "guest_03", "ends at guest_02.0: guest_02.0 is not wired to br3"),
        ("desk", "vmserver", "desk reaches vmserver"),
    ],
)
def test_on_the_host_as_it_is_the_way_ends_where_a_wire_carries_nothing(source: str, target: str, end: str) -> None:
    assert live(source, target) == end


def test_a_forwarded_port_is_named_and_no_other_gets_in() -> None:
    assert way(sites.lab(Mode.NAT), "desk", "vm1").end == "desk reaches vm1 by tcp/22, through port 2222 of desktop"
    asked = Highlight(source="desk", target="vm1", service=sites.TCP80)
    path = make_scene(sites.lab(Mode.NAT), highlight=asked).path
    assert path is not None
    assert path.end.endswith("no port is forwarded to vm1 for tcp/80")


def test_the_sentence_of_a_witness_is_told() -> None:
    seen = Highlight(source="desk", target="dmz", hops=(("desk", "eth0"),), reached=True, sentence="reply in 0.02 ms")
    assert "reply in 0.02 ms" in draw(sites.production(), highlight=seen)
