"""No column of a row of ours is forgotten: who changes one by hand is seen by plan, status, verify, draw and serve.

The columns are those of the model: one that is new is asked about here, and fails until it has a value to be set to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT, structs
from msgspec.structs import replace

from bascule.apply.host_status import drift
from bascule.apply.options import ANY_DRIVER
from bascule.apply.prepare import prepare
from bascule.apply.rollback import checkpoint
from bascule.apply.state_directory import here
from bascule.model.state import HostState
from bascule.plan.diff import diff
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


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with open_lab() as lab:
        yield applied(lab, tmp_path_factory.mktemp("ovs"))


def applied(lab: Lab, folder: Path) -> Bed:
    bed = switched(lab, folder, SITE)
    bed.batch(
        "link add eth6 address 02:00:00:00:00:16 type veth peer name eth6w\nlink set eth6 up\nlink set eth6w up\n"
    )
    bed.apply("--confirm-within", "60s")
    assert bed.run("confirm").returncode == 0
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
    vsctl(bed, "--no-wait", "set", table, row, HANDS[table][column])
    try:
        site = load(str(bed.site))
        with environment(bed.env), bed.host.entered():
            found = prepare(site, site.hosts["h"], choice=ANY_DRIVER)
            change = checkpoint.latest(here())
            assert change is not None
            assert drift(change.read(), change), "status"
        assert found.plan.changes, "plan, verify and draw"
        page = state_document(site, site.hosts["h"], found.observed, plan=found.plan, problems=(), asking=LastAnswers())
        assert page["changes"], "serve"
    finally:
        vsctl(bed, "--no-wait", "clear", table, row, column) if was in {"[]", "{}"} else vsctl(
            bed, "--no-wait", "set", table, row, f"{column}={was}"
        )
    assert replace(rows(bed), seen=made.seen) == made
