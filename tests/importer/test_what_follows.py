"""What is refused only because of a word that is not one takes nothing with it."""

from __future__ import annotations

from bascule.importer.expressible import expressible
from bascule.model.values import IfName


def test_a_bond_of_open_vswitch_keeps_its_mode_where_a_port_beside_it_has_an_unknown_key() -> None:
    ports = [{"link": "eth4", "pvid": 30, "native": "tagged"}]
    host = {
        "nics": {"eth4": {}, "eth5": {}, "eth6": {}},
        "bonds": {"bond0": {"nics": ["eth5", "eth6"], "mode": "balance-slb"}},
        "bridges": {"ovs3": {"kind": "openvswitch", "uplink": "bond0", "ports": ports}},
    }
    site, _, told = expressible({"site": "s", "hosts": {"h": host}})
    assert site.hosts["h"].bonds[IfName("bond0")].mode == "balance-slb"
    assert told == ["ovs3: ports native tagged: left out, 'native' is not a key of a port of a bridge"]
