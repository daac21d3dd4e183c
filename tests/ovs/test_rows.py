"""Rows and links: VLANs there and back, what a mirror is, the way back, and what a transaction waits for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bascule.model.links import Other, Physical, Tap
from bascule.model.ruleset.openflow import flow
from bascule.model.state import HostState, Link, PortVlans, tagged_vlans
from bascule.model.values import IfName
from bascule.plan.diff import diff
from bascule.policy.guards.flows import port_number
from bascule.providers.json import from_json, to_json
from bascule.providers.loaded_guards import is_behind_guard
from bascule.providers.ovs.diff import CLOSE_EACH_S, CLOSE_S, OPEN_S, steps
from bascule.providers.ovs.guard_steps import guard_steps, takes_guards_away
from bascule.providers.ovs.merge import merge, put_right
from bascule.providers.ovs.overlay import columns_of, lay_over, vlans_of
from bascule.providers.ovs.read import from_answer, reading
from bascule.providers.ovs.state import (
    GUARDS,
    BridgeRow,
    FlowTable,
    InterfaceRow,
    MirrorRow,
    PortRow,
    SwitchCounters,
    SwitchState,
)
from bascule.providers.ovs.transaction import transaction
from tests.work import FOUR_TIMES, work

OWN = {"bascule": "s"}


def port(name: str, bridge: str = "ovs0", **columns: Any) -> PortRow:
    return PortRow(name=name, bridge=bridge, interfaces=(InterfaceRow(name=name),), **columns)


def state(*ports: PortRow, **rest: Any) -> SwitchState:
    bridges = {one.bridge: BridgeRow(name=one.bridge, external_ids=OWN) for one in ports}
    uuids = {f"{kind}/{name}": f"{kind}-{name}" for kind in ("Bridge", "Port", "Interface", "Mirror") for name in "abc"}
    uuids |= {f"Port/{one.name}": f"uuid-{one.name}" for one in ports} | {
        f"Bridge/{name}": f"b-{name}" for name in bridges
    }
    seen = SwitchCounters(root="root", uuids=uuids)
    return SwitchState(socket="/x", bridges=bridges, ports={one.name: one for one in ports}, seen=seen, **rest)


VIDS = st.sets(st.integers(1, 4094), max_size=5)


@given(st.none() | st.integers(0, 4094), VIDS)
def test_vlans_go_into_columns_and_come_back(native: int | None, tagged: set[int]) -> None:
    own = () if native is None else (PortVlans(first=native, last=native, pvid=True, untagged=True),)
    vlans = tuple(sorted((*own, *tagged_vlans(tagged - {native})), key=lambda one: one.first))
    if not vlans:
        return  # a port without any carries all
    assert vlans_of(port("a", **dict[str, Any](columns_of(vlans)))) == vlans


def test_a_port_without_a_word_carries_all() -> None:
    assert vlans_of(port("a")) == (PortVlans(first=0, last=0, pvid=True, untagged=True), PortVlans(first=1, last=4094))
    assert vlans_of(port("a", tag=5, vlan_mode="native-tagged"))[-1] == PortVlans(first=6, last=4094)


def test_a_transaction_waits_for_what_it_alters_and_no_more() -> None:
    old = state(port("a", tag=10), port("b", tag=10))
    new = state(port("a", tag=0), port("b", tag=10))
    waits = [one for one in transaction(old, new)[1:] if one["op"] == "wait"]
    assert waits == [
        {
            "op": "wait", "timeout": 0, "table": "Port", "where": [["_uuid", "==", ["uuid", "uuid-a"]]],
            "columns": ["tag"], "until": "==", "rows": [{"tag": 10}],
        }
    ]  # fmt: skip
    (changed,) = (one for one in transaction(old, new)[1:] if one["op"] == "update")
    assert changed["row"] == {"tag": 0}


def test_a_transaction_grows_by_two_rows_for_each_port() -> None:
    """An operation is a scan of its table: what joins a bridge does so in one, or with the bridge's own row."""
    new = state(*(port(f"p{number}") for number in range(50)))
    made = transaction(state(), new)[1:]
    assert [one["op"] for one in made].count("insert") == 101
    assert len(made) == 101 + 2
    more = transaction(new, state(*new.ports.values(), *(port(f"q{number}") for number in range(50))))[1:]
    assert len(more) == 100 + 4  # that the bridge is there, and has them


def test_vlan_0_of_a_new_port_is_said() -> None:
    made = transaction(state(port("a")), state(port("a"), port("z", tag=0)))
    (row,) = (one["row"] for one in made[1:] if one["op"] == "insert" and one["table"] == "Port")
    assert row["tag"] == 0


def test_what_others_altered_since_stays() -> None:
    before = state(port("a", tag=10), port("b", tag=10))
    wanted = state(port("a", tag=20), port("b", tag=10), port("c"))
    now = state(port("a", tag=20, protected=True), port("b", tag=30), port("c"), port("d"))
    back = merge(before, wanted, now, wanted)
    assert back.part.ports["a"] == port("a", tag=10, protected=True)
    assert back.part.ports["b"] == port("b", tag=30)
    assert "c" not in back.part.ports
    assert back.part.ports["d"] == port("d")
    assert "port b: tag was changed since; it stays" in back.kept


def test_what_an_earlier_change_made_is_drift_after_a_later_one() -> None:
    """The mark tells whose a row is; of a row of others what the last change did not alter is theirs."""
    mark = {"bascule": "t"}
    stood = state(port("a", tag=10, external_ids=mark), port("b", tag=10))
    now = state(port("a", tag=30, external_ids={**mark, "theirs": "x"}), port("b", tag=30))
    goal = put_right(stood, stood, now, frozenset())
    assert goal.ports == {
        "a": port("a", tag=10, external_ids={**mark, "theirs": "x"}),
        "b": port("b", tag=30),
    }
    guards = {"ovs0": FlowTable(fragments="nx-match", flows=(flow(0, 9, "in_port=a", "drop"),))}
    bridges = {"ovs0": replace(stood.bridges["ovs0"], external_ids=mark)}
    loaded = replace(stood, bridges=bridges, flows=guards)
    assert put_right(loaded, loaded, replace(loaded, flows={}), frozenset()).flows == guards


def test_a_change_that_was_ended_half_way_goes_back() -> None:
    before, wanted = state(port("a")), state(port("a"), port("b", "new"))
    assert merge(before, wanted, wanted, None).part.ports == before.ports
    assert merge(wanted, before, before, None).part.ports == wanted.ports


def test_it_is_written_in_a_checkpoint_and_read_again() -> None:
    mirror = MirrorRow(name="m", bridge="ovs0", select_all=True, output_port=("a",))
    part = state(port("a", trunks=(1, 2)), mirrors={"ovs0/m": mirror})
    found = from_json(to_json(HostState(parts={"ovs": part})))
    assert found.parts["ovs"] == part
    assert not diff(found, HostState(parts={"ovs": part}))


def test_an_empty_data_base_is_no_switch() -> None:
    empty: list[dict[str, Any]] = [{"rows": []} for _ in reading()[1:]]
    assert from_answer(empty, "/x") == SwitchState(socket="/x")


def test_a_mirror_is_told_by_its_ends() -> None:
    old = state(port("a"), port("b"))
    mirror = MirrorRow(name="m", bridge="ovs0", select_src_port=("a",), select_dst_port=("a",), output_port=("b",))
    plan = diff(HostState(parts={"ovs": old}), HostState(parts={"ovs": replace(old, mirrors={"ovs0/m": mirror})}))
    assert [change.action for change in plan.changes] == ["mirror a → b"]


def test_what_a_datapath_makes_for_itself_is_no_link_of_the_host() -> None:
    datapath, switch, eth0, tunnel = map(IfName, ("ovs-system", "ovs0", "eth0", "vxlan_sys_4789"))
    links = (
        Link(name=datapath, options=Other(info_kind="openvswitch")),
        Link(name=IfName("ovs-netdev"), options=Tap()),
        Link(name=switch, options=Other(info_kind="openvswitch")),
        Link(name=eth0, options=Physical(), master=datapath),
        Link(name=tunnel, options=Other(info_kind="vxlan"), master=datapath),  # of no row
    )
    own = PortRow(name="ovs0", bridge="ovs0", interfaces=(InterfaceRow(name="ovs0", type="internal"),))
    seen = lay_over(HostState(links={one.name: one for one in links}), state(own, port("eth0"))).links
    assert {name: link.master for name, link in seen.items()} == {switch: None, eth0: switch, tunnel: None}


def test_a_port_is_deaf_for_as_long_as_others_leave_with_it() -> None:
    """ovs-vswitchd opens all at once and closes one after another."""
    some = [port(name) for name in ("a", "b", "c")]
    tap = Link(name=IfName("a"), options=Tap(), master=IfName("br0"), up=True)
    bridged = HostState(links={IfName("a"): tap})
    came = {one.subject: one.outage_s for one in steps(state(), state(*some), bridged, bridged)}
    assert (came["a"], came["b"]) == (OPEN_S, 0.0), "b stood nowhere before"
    (gone,) = (one for one in steps(state(*some), state(), HostState(), bridged) if one.outage_s)
    assert (gone.subject, gone.outage_s) == ("ovs0", CLOSE_S + 3 * CLOSE_EACH_S)
    moved = steps(state(*some), state(port("a"), port("b", "ovs1"), port("c", "ovs1")), HostState(), HostState())
    assert {one.outage_s for one in moved if "become a port" in one.action} == {CLOSE_S + 2 * CLOSE_EACH_S}


def test_nobody_waits_for_frames_to_meet_rules_that_are_not_there_any_more() -> None:
    """The datapath takes half a second for it, and a guest that leaves the switch is deaf meanwhile."""
    rules = FlowTable(fragments="nx-match", flows=(flow(0, 0, "", "drop"),))
    guarded, bare = (replace(state(port("a")), flows=flows) for flows in ({"ovs0": rules}, {}))
    for before, after, loosens in ((guarded, bare, True), (bare, guarded, False)):
        commands = [command for one in guard_steps(before, after, HostState()) for command in one.commands]
        assert {takes_guards_away(command) for command in commands} == {loosens}


def test_whose_guards_stand_is_read_once_for_all_ports() -> None:
    """Status asked the rules of a thousand guests anew for each of them."""

    def asked(number: int) -> int:
        names = [f"g{n}" for n in range(number)]
        rules = [flow(10, 100, f"dl_src=52:54:00:00:{n >> 8:02x}:{n & 255:02x},reg0={port_number(name):#x}", "drop")
                 for n, name in enumerate(names)]  # fmt: skip
        bridge = BridgeRow(name="ovs0", external_ids={GUARDS: " ".join(names)})
        table = FlowTable(fragments="nx-match", flows=tuple(rules))
        part = SwitchState(socket="/s", bridges={"ovs0": bridge}, flows={"ovs0": table})
        state = HostState(parts={"ovs": part})
        return work(lambda: [is_behind_guard(state, name, "ovs0") for name in names])

    assert asked(400) < FOUR_TIMES * asked(100)
