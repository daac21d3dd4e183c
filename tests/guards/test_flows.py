"""On a switch of Open vSwitch the same guards stop all hostile frames but those that OpenFlow cannot tell apart."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.model.guarding import GuardLevel
from bascule.policy.guards.flows import guard_flows, levels_of, port_number
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.reasons import GuardReason
from bascule.providers.ovs.boot_flows.state import BootFlows
from bascule.providers.ovs.boot_flows.texts import rules_text, script_text
from bascule.providers.ovs.execute import bind_ports
from bascule.providers.ovs.flows import by_name, concrete, read_flows
from bascule.providers.ovs.observe import observe, stopped_by_flows
from bascule.providers.ovs.state import BridgeRow, FlowTable, SwitchState
from bascule.providers.ovs.unseen_frames import UNSEEN, UNSEEN_BY_MAC, UNSEEN_OF_ROUTERS
from tests.guards.segment import PARTIES, ROUTER, site
from tests.guards.single_attacks import SINGLE_ATTACKS
from tests.guards.switch import OPEN, Switch, switch
from tests.patience import HUNG_S, patient

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with switch(Path(tmp_path_factory.mktemp("ovs"))) as one:
        yield one


@pytest.fixture(scope="module")
def strict(bridge: Switch) -> Switch:
    bridge.guard(site("strict"))
    return bridge


def test_the_rules_are_read_as_they_were_loaded(bridge: Switch) -> None:
    extras = (
        "also: [10.0.0.99, 10.8.0.0/24, '2001:db8:8::/64', {vrrp: 7, address: 10.0.0.100}], "
        "may: [router, tags, dhcp-server, bpdu, multicast-querier], isolated: true"
    )
    for some in (site("mac"), site("strict", extras, "isolated: true"), site("strict")):
        bridge.guard(some)
        wanted = guard_flows(guarded_ports(some, some.hosts["h"]), OPEN)
        assert observe(f"{bridge.folder}/db.sock").flows == {"br0": FlowTable(fragments="nx-match", flows=wanted)}


def test_hostile_frames_are_stopped_and_teach_the_switch_nothing(strict: Switch) -> None:
    strict.greet()
    passed = {one.name for one in ATTACKS if any(ports for _, ports in strict.send(one.frames(PARTIES)))}
    assert passed == set(UNSEEN)
    assert (strict.where(ROUTER), strict.where(PARTIES.other.mac)) == ("up.0", "db.0")
    assert not strict.where("02:ba:d0:ba:d0:ba")


def test_of_the_attacks_known_of_the_field_three_pass(strict: Switch) -> None:
    """One frame each, or one packet in fragments: the reasons are those of the kinds."""
    strict.greet()
    passed = [one for one in SINGLE_ATTACKS if any(ports for _, ports in strict.send(one.frames(PARTIES)))]
    assert len(SINGLE_ATTACKS) == 69
    assert {one.name for one in passed} == {
        "the same advertisement in two fragments",
        "DHCP with another client's MAC inside",
        "multicast router solicitation (IGMP 0x31)",
    }
    assert {one.kind for one in passed} <= UNSEEN.keys()
    assert strict.where(ROUTER) == "up.0"


def test_legitimate_frames_pass(strict: Switch) -> None:
    strict.greet()
    lost = [one.name for one in LEGITIMATE if not all(ports for _, ports in strict.send(one.frames(PARTIES)))]
    assert lost == []


def test_without_rules_hostile_frames_reach_the_others(bridge: Switch) -> None:
    """So the matrix can fail."""
    bridge.vsctl("set", "bridge", "br0", "fail_mode=standalone")
    bridge.appctl("revalidator/wait")
    arrived = [one.name for one in ATTACKS if any(ports for _, ports in bridge.send(one.frames(PARTIES)))]
    assert len(arrived) > len(ATTACKS) * 0.85  # the switch takes what is for bridges, and what is too long
    bridge.guard(site("strict"))


def test_a_guard_of_the_mac_stops_what_needs_no_address_to_be_known(bridge: Switch) -> None:
    bridge.guard(site("mac"))
    bridge.greet()
    hostile = [one for one in ATTACKS if not one.by_address]
    passed = {one.name for one in hostile if any(ports for _, ports in bridge.send(one.frames(PARTIES)))}
    assert passed == set(UNSEEN) | set(UNSEEN_BY_MAC)
    assert all(ports for one in LEGITIMATE for _, ports in bridge.send(one.frames(PARTIES)))
    assert bridge.where(ROUTER) == "up.0"
    bridge.guard(site("strict"))


@pytest.mark.parametrize("word", ["router", "dhcp-server", "multicast-querier", "bpdu"])
def test_what_a_guest_may_do_lets_nothing_else_through(bridge: Switch, word: str) -> None:
    bridge.guard(site("strict", f"may: {word}"))
    bridge.greet()
    hostile = [one for one in ATTACKS if one.permission != word]
    passed = {one.name for one in hostile if any(ports for _, ports in bridge.send(one.frames(PARTIES)))}
    further = UNSEEN_OF_ROUTERS if word == "router" else {}
    assert passed == {one.name for one in hostile if one.name in {**UNSEEN, **further}}
    assert all(ports for one in LEGITIMATE for _, ports in bridge.send(one.frames(PARTIES)))
    bridge.guard(site("strict"))


def test_what_was_stopped_is_counted_by_port_and_reason(strict: Switch) -> None:
    strict.ofctl("del-flows", "br0", "cookie=0xba5d/-1")
    me, router, other = PARTIES.me, PARTIES.router, PARTIES.other
    claim = b.arp(me.raw, 2, me.raw, router.ip4, other.ip4)
    before = {one.reason: one.frames for one in stopped_by_flows(strict.host)}
    strict.send([claim] * 12)
    strict.send([b.ether(other.raw, router.raw, 0x88B5, bytes(46))] * 3)
    for _ in range(3):  # it counts what its datapath did from time to time
        strict.appctl("revalidator/wait")
    told = {one.reason: one for one in stopped_by_flows(strict.host)}
    counted = {reason: one.frames - before.get(reason, 0) for reason, one in told.items()}
    assert (counted[GuardReason.ARP], counted[GuardReason.MAC], sum(counted.values())) == (12, 3, 15)
    assert str(told[GuardReason.ARP]).startswith(f"web.0: {told[GuardReason.ARP].frames} frames with ARP for another's")
    assert "10.0.0.1 (" in str(told[GuardReason.ARP])


def test_a_guest_that_starts_later_is_guarded_from_its_first_frame(strict: Switch) -> None:
    """By its MAC until its port is bound, and a port that no file names passes nothing."""
    strict.guard(site("strict"), present=("db.0", "up.0", "br0"))
    legitimate, spoofed = (b.arp(who.raw, 1, who.raw, who.ip4, who.ip4) for who in (PARTIES.me, PARTIES.router))
    claim = b.arp(PARTIES.me.raw, 1, PARTIES.me.raw, PARTIES.router.ip4, PARTIES.other.ip4)
    as_other = b.arp(PARTIES.other.raw, 1, PARTIES.other.raw, PARTIES.other.ip4, PARTIES.other.ip4)
    arrived = [bool(ports) for _, ports in strict.send([spoofed, claim, legitimate, as_other])]
    assert arrived == [False, False, True, False]
    strict.vsctl("set", "bridge", "br0", "external_ids:bascule-guards=web.0 db.0")
    bind_ports(strict.host)
    dump = strict.ofctl("dump-flows", "br0", "table=0")
    assert "in_port=web.0" in dump.replace('"', "") and f"dl_src={PARTIES.me.mac}" not in dump
    assert [bool(ports) for _, ports in strict.send([spoofed, claim, legitimate])] == [False, False, True]


def test_the_boot_script_loads_the_same_rules_and_follows_ports(strict: Switch) -> None:
    some = site("strict")
    wanted = guard_flows(guarded_ports(some, some.hosts["h"]), OPEN)
    ids = {"bascule-guards": "web.0 db.0"}
    part = SwitchState(
        socket=f"{strict.folder}/db.sock",
        bridges={"br0": BridgeRow(name="br0", external_ids=ids)},
        flows={"br0": FlowTable(fragments="nx-match", flows=wanted)},
    )
    boot = BootFlows(file=f"{strict.folder}/switches.flows")
    Path(boot.file).write_text(rules_text(part, {"br0": ("gone.0", "web.0")}))
    Path(boot.script_path).write_text(script_text(boot, part.socket))
    strict.ofctl("del-flows", "br0")
    strict.ofctl("set-frags", "br0", "normal")
    strict.vsctl("add-port", "br0", "gone.0", "--", "add-port", "br0", "theirs")
    with strict.host.entered():
        subprocess.run(("sh", boot.script_path), check=True, timeout=HUNG_S)
    there = observe(part.socket).ports
    assert "gone.0" not in there, "it was left behind"
    assert {"web.0", "theirs"} <= there.keys(), "one is there, the other is no guest's of the file"
    strict.vsctl("del-port", "br0", "theirs")
    strict.ofctl("del-flows", "br0", "cookie=0/0")
    with strict.host.entered():
        subprocess.run(("sh", boot.script_path), check=True, timeout=HUNG_S)
    assert observe(part.socket).flows == part.flows
    follower = subprocess.Popen(("sh", boot.script_path, "follow"), start_new_session=True)
    try:
        strict.vsctl("del-port", "br0", "web.0")
        _await(lambda: f"dl_src={PARTIES.me.mac}" in strict.ofctl("dump-flows", "br0", "table=0"))
        strict.vsctl("add-port", "br0", "web.0")
        _await(lambda: "web.0" in strict.ofctl("dump-flows", "br0", "table=0"))
        assert observe(part.socket).flows == part.flows
    finally:
        os.killpg(follower.pid, 15)
        follower.wait(HUNG_S)


def _await(holds: object, seconds: float = 15.0) -> None:
    end = time.monotonic() + patient(seconds)
    while not holds():  # type: ignore[operator]  # a question
        assert time.monotonic() < end
        time.sleep(0.05)


def test_names_and_numbers() -> None:
    """What is loaded for guests that are not there is read as what the file wants."""
    some = site("mac")
    wanted = guard_flows(guarded_ports(some, some.hosts["h"]), OPEN)
    loaded = tuple(concrete(wanted, {"up.0", "db.0"}))
    assert "in_port=web.0" not in {one.match for one in loaded}
    assert by_name(loaded, ("web.0", "db.0"), {"up.0", "db.0"}) == wanted
    assert by_name(loaded, ("web.0", "db.0"), {"up.0", "db.0", "web.0"}) != wanted
    assert levels_of(wanted, ["web.0", "up.0"]) == {"web.0": GuardLevel.MAC}
    assert port_number("web.0") != port_number("db.0")
    line = ' cookie=0x1, duration=1s, table=3, n_packets=7, n_bytes=9, priority=2,in_port="a b",ip actions=drop'
    (one,) = read_flows(line)
    assert (one.cookie, one.frames, one.rule.match) == (1, 7, "in_port=a b,ip")
