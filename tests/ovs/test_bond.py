"""A bond of Open vSwitch that the file makes, takes to pieces, and makes again, under a guest that runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.apply.hosts import Bed
from tests.lab import Lab
from tests.ovs.stage import rows, switched

SITE = """\
site: t
networks: {guests: {subnet: 10.1.0.0/24}}
hosts:
  h:
    nics: {eth4: {network: guests}, eth5: {network: guests}}
    bonds: {bond0: {nics: [eth4, eth5], mode: balance-slb}}
    bridges: {ovs3: {kind: openvswitch, datapath: netdev, uplink: bond0}}
guests:
  g: {host: h, memory: 1GiB, nics: [{bridge: ovs3, tap: vnet1, address: 10.1.0.5/24}]}
"""
NIC = "".join(line for line in SITE.splitlines(True) if "bonds:" not in line).replace("uplink: bond0", "uplink: eth4")
STEPS: tuple[
    tuple[str, dict[str, set[str]]], ...
] = (  # what the file says next, and the interfaces of each port of the host then
    (NIC, {"eth4": {"eth4"}}),
    (SITE.replace("[eth4, eth5]", "[eth5]"), {"bond0": {"eth5"}}),
    (NIC.replace("uplink: eth4", "uplink: eth5"), {"eth5": {"eth5"}}),
    (SITE, {"bond0": {"eth4", "eth5"}}),
    (NIC.replace("kind: openvswitch, datapath: netdev, ", ""), {}),
)


def ports(bed: Bed) -> dict[str, set[str]]:
    """The interfaces of each port but the internal one and the guest's."""
    found = {name: {one.name for one in row.interfaces} for name, row in rows(bed).ports.items()}
    return {name: some for name, some in found.items() if name not in {"ovs3", "vnet1"}}


def test_its_nics_go_where_the_file_says_and_come_back(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path, SITE)
    bed.batch("link add eth5 address 02:00:00:00:00:15 type veth peer name eth5w\nlink set eth5 up\n")
    bed.apply("--no-confirm")
    made = rows(bed)
    for text, wanted in STEPS:
        bed.site.write_text(text)
        bed.apply("--no-confirm")
        assert ports(bed) == wanted, text
        if text is NIC:
            assert json.loads(bed.run("plan", str(bed.site), "--json").stdout)["changes"] == []
            assert bed.run("undo").returncode == 0
            assert (rows(bed).bridges, rows(bed).ports) == (made.bridges, made.ports)
    assert '"master":"ovs3"' in bed.ip("-j link show eth4")
    assert '"master"' not in bed.ip("-j link show eth5")
