"""No column of a row of ours is forgotten: who changes one by hand is seen by plan, status, verify, draw and serve.

The columns are those of the model: one that is new is asked about here, and fails until it has a value to be set to.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT, structs
from msgspec.structs import replace

from bascule.apply.host_status import drift
from bascule.apply.options import ANY_DRIVER
from bascule.apply.prepare import PreparedPlan, prepare
from bascule.apply.rollback import checkpoint
from bascule.apply.state_directory import here
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.plan.diff import diff
from bascule.providers.ovs.merge import merge
from bascule.providers.ovs.state import (
    BridgeRow,
    InterfaceRow,
    MirrorRow,
    PortRow,
    QosRow,
    SwitchState,
)
from bascule.web.view import LastAnswers, state_document
from bascule.workflow import load
from tests.apply.hosts import Bed, environment
from tests.lab import Lab, open_lab
from tests.ovs.stage import rows, switched, vsctl
from tests.ovs.test_keys import KEYS
from tests.ovs.test_rows import port, state

SITE = KEYS.replace("isolated: true,", "isolated: true, limit: {up: 10Mbit, down: 20Mbit},")
WHERE = {"Bridge": "ovs3", "Port": "vnet1", "Interface": "vnet1", "Mirror": "mirror0", "QoS": ""}
HANDS = {  # what somebody sets of ours
    "Bridge": {
        "external_ids": "external_ids:bascule-guards=vnet1",
        "datapath_type": "datapath_type=system",
        "fail_mode": "fail_mode=standalone",
        "stp_enable": "stp_enable=true",
        "rstp_enable": "rstp_enable=false",
        "mcast_snooping_enable": "mcast_snooping_enable=false",
        "other_config": 'other_config:hwaddr="02:00:00:00:00:99"',
    },
    "Port": {
        "external_ids": "external_ids:bascule=other",
        "tag": "tag=30",
        "trunks": "trunks=20,30",
        "vlan_mode": "vlan_mode=native-untagged",
        "protected": "protected=false",
        "bond_mode": "bond_mode=balance-slb",
        "lacp": "lacp=active",
        "bond_updelay": "bond_updelay=7",
        "bond_downdelay": "bond_downdelay=7",
        "other_config": "other_config:bond-primary=eth4",
    },
    "Interface": {
        "external_ids": "external_ids:bascule-limit=none",
        "type": "type=internal",
        "options": "options:peer=x",
        "mtu_request": "mtu_request=1300",
        "ingress_policing_rate": "ingress_policing_rate=7",
        "ingress_policing_burst": "ingress_policing_burst=7",
    },
    "Mirror": {
        "external_ids": "external_ids:bascule=other",
        "select_all": "select_all=true",
        "select_vlan": "select_vlan=9",
        "output_vlan": "output_vlan=9",
        "select_src_port": "select_src_port=[]",
        "select_dst_port": "select_dst_port=[]",
        "output_port": "output_port=[]",
    },
    "QoS": {
        "type": "type=linux-sfq",
        "other_config": "other_config:max-rate=7",
        "external_ids": "external_ids:bascule=other",
    },
}
ON = {("Port", "other_config"): "bond0", ("Interface", "type"): "eth4"}  # which row, where it is another one
KINDS: tuple[type[Any], ...] = (BridgeRow, PortRow, InterfaceRow, MirrorRow)
CASES = [(table, column) for table, columns in HANDS.items() for column in columns]


def test_every_column_of_the_model_is_asked_about() -> None:
    asked = {(kind.table, column) for kind in KINDS for column in (*kind.columns, *getattr(kind, "ports", ()))}
    assert asked | {("QoS", column) for column in QosRow.columns} == set(CASES)


def pairs(kind: type[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each column with the value of a new row and another one."""
    ports = getattr(kind, "ports", ())
    others = {"bool": True, "int": 7, "str": "other", "Mapping": {"a": "b"}, "tuple": (7,)}
    for field in structs.fields(kind):
        if field.name in {*kind.columns, *ports}:
            value = field.default if field.default_factory is NODEFAULT else {}
            other = next(other for word, other in others.items() if word in str(field.type).split("[")[0])
            yield field.name, value, ("a",) if field.name in ports else other


def with_row(kind: type[Any], column: str, value: Any) -> SwitchState:
    plain = state(port("a"))
    uuids = {**plain.seen.uuids, "Mirror/ovs0/m": "mirror-m", "QoS/a": "queue-a"}
    plain = replace(plain, seen=replace(plain.seen, uuids=uuids))
    put = {column: value}
    if kind is BridgeRow:
        return replace(plain, bridges={"ovs0": replace(plain.bridges["ovs0"], **put)})
    if kind is MirrorRow:
        return replace(plain, mirrors={"ovs0/m": MirrorRow(name="m", bridge="ovs0", **put)})
    row = plain.ports["a"]
    if kind is PortRow:
        row = replace(row, **put)
    elif kind is InterfaceRow:
        row = replace(row, interfaces=(InterfaceRow(name="a", **put),))
    else:
        row = replace(row, qos=QosRow(**put))
    return replace(plain, ports={"a": row})


@pytest.mark.parametrize("kind", [*KINDS, QosRow])
def test_what_differs_is_a_change(kind: type[Any]) -> None:
    for column, *values in pairs(kind):
        one, other = (HostState(parts={"ovs": with_row(kind, column, value)}) for value in values)
        assert diff(one, other).changes, column


def rows_of(state: SwitchState) -> tuple[Any, ...]:
    return dict(state.bridges), dict(state.ports), dict(state.mirrors)


@pytest.mark.parametrize("kind", [*KINDS, QosRow])
def test_what_a_change_made_goes_and_what_others_made_stays(kind: type[Any]) -> None:
    for column, *values in pairs(kind):
        for one, other in permutations(with_row(kind, column, value) for value in values):
            for applied in (other, None):
                back = merge(one, other, other, applied)
                assert (rows_of(back.part), back.kept) == (rows_of(one), ()), column
            theirs = merge(one, one, other, one)
            assert rows_of(theirs.part) == rows_of(other), column
            assert theirs.kept, column


def test_what_the_switch_made_of_a_change_goes_with_it() -> None:
    one, other = (with_row(PortRow, "lacp", value) for value in (None, "active"))
    assert rows_of(merge(one, one, other, other).part) == rows_of(one)


def test_a_port_of_others_on_a_bridge_that_goes_is_named() -> None:
    made = state(port("a"))
    found = merge(replace(made, bridges={}, ports={}), replace(made, ports={}), made, replace(made, ports={}))
    assert rows_of(found.part) == ({}, {}, {})
    assert found.kept == ("a is new and loses its bridge ovs0, which is removed",)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with open_lab() as lab:
        yield applied(lab, tmp_path_factory.mktemp("ovs"))


def applied(lab: Lab, folder: Path) -> Bed:
    bed = switched(lab, folder, SITE)
    bed.batch(
        "link add eth6 address 02:00:00:00:00:16 type veth peer name eth6w\nlink set eth6 up\nlink set eth6w up\n"
    )
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    bed.site.write_text(SITE.replace("      ovs3:\n", "      br9: {uplink: none}\n      ovs3:\n"))
    bed.apply("--no-confirm")  # a later change, of something else: what the first one made is not forgotten
    return bed


@pytest.mark.parametrize(("table", "column"), CASES, ids=[f"{table}-{column}" for table, column in CASES])
def test_a_hand_at_it_is_seen(bed: Bed, table: str, column: str) -> None:
    """Every verb goes by the plan or by what has drifted; both are asked, and then the page of `serve`."""
    name = ON.get((table, column), WHERE[table])
    made = rows(bed)
    row = name
    if table in {"QoS", "Mirror"}:
        keys = {"QoS": "QoS/vnet1", "Mirror": next(key for key in made.seen.uuids if key.startswith("Mirror/"))}
        row = made.seen.uuids[keys[table]]
    was = vsctl(bed, "get", table, row, column).strip()
    vsctl(bed, "set", table, row, HANDS[table][column])
    try:
        site, found, drifted = look(bed)
        assert drifted, "status"
        assert found.plan.changes or found.plan.beside_changes, "plan, verify and draw"
        page = state_document(site, site.hosts["h"], found.observed, plan=found.plan, problems=(), asking=LastAnswers())
        assert page["drift"] or page["changes"], "serve"
    finally:
        # waits for ovs-vswitchd, which takes an internal port down for a moment to give it another MAC
        vsctl(bed, *(("clear", table, row, column) if was in {"[]", "{}"} else ("set", table, row, f"{column}={was}")))
    if column in {"datapath_type", "mtu_request"}:  # links were made anew, or have another MTU
        bed.apply("--no-confirm")
    assert replace(rows(bed), seen=made.seen) == made
    _, found, drifted = look(bed)
    assert (found.plan.changes, found.plan.beside_changes, drifted) == ((), (), ()), "the next one is seen by itself"


def test_who_else_hears_is_not_in_the_file(bed: Bed) -> None:
    """Somebody else's mirror on a switch of ours stays, and plan, verify and draw name it.

    Nobody complains of a controller of a switch with ``fail_mode: secure``: the file says that others' rules decide.
    """
    spy = ("--", "--id=@m", "create", "Mirror", "name=spy", "select_all=true", "--", "add", "Bridge", "ovs3")
    vsctl(bed, *spy, "mirrors", "@m")
    vsctl(bed, "set-controller", "ovs3", "tcp:127.0.0.1:6653")
    uuid = rows(bed).seen.uuids["Mirror/ovs3/spy"]
    try:
        _, found, _ = look(bed)
        assert found.plan.changes == ()
        assert found.plan.beside_changes == (("ovs3", "mirror all → nobody is not in the file: it stays as it is"),)
    finally:
        vsctl(bed, "del-controller", "ovs3", "--", "remove", "Bridge", "ovs3", "mirrors", uuid)


def look(bed: Bed) -> tuple[Site, PreparedPlan, tuple[str, ...]]:
    """What the verbs go by: the plan, and what has drifted."""
    site = load(str(bed.site))
    with environment(bed.env), bed.host.entered():
        latest = checkpoint.latest(here())
        assert latest is not None
        change, _ = latest
        return site, prepare(site, site.hosts["h"], choice=ANY_DRIVER), drift(change.read(), change)
