"""What files say beside Open vSwitch's own data base, and who says that he cannot."""

from __future__ import annotations

import pytest

from bascule.model.dialects import writable
from bascule.persist.dialect import dialect
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.wanted import wanted_config
from bascule.site import parse

SITE = """
site: s
networks: {lan: {subnet: 10.0.0.0/24}, san: {subnet: 10.9.0.0/24, vlan: 30}}
hosts:
  h:
    nics: {eth1: {network: lan}, eth2: {network: lan}}
    bridges:
      ovs0: {kind: openvswitch, uplink: eth1, address: 10.0.0.5/24, rstp: true, fail_mode: secure}
      ovs1: {kind: openvswitch, uplink: eth2}
guests: {g: {host: h, nics: [{bridge: ovs1, vlan: 30, address: 10.9.0.9/24}]}}
"""


def files(name: str) -> dict[str, str]:
    site = parse(SITE.encode(), "site.yaml")
    return dialect(name, writable).render(wanted_config(site, site.hosts["h"]))


def test_networkd_says_addresses_and_leaves_ports_where_they_are() -> None:
    found = files("networkd")
    assert not [path for path in found if path.endswith(".netdev")]
    assert "Address=10.0.0.5/24" in found["etc/systemd/network/10-ovs0.network"]
    assert "KeepMaster=yes" in found["etc/systemd/network/10-eth1.network"]
    assert "RequiredForOnline=no" in found["etc/systemd/network/10-ovs1.network"]
    assert not any("Bridge" in text for text in found.values())


@pytest.mark.parametrize("name", ["ifcfg", "keyfile", "commands", "ifupdown", "netplan"])
def test_who_has_no_words_for_it_says_so(name: str) -> None:
    with pytest.raises(Inexpressible) as told:
        files(name)
    assert "'kind: openvswitch' of ovs0" in str(told.value)
