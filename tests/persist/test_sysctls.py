"""Kernel parameters of links, which no dialect has words for, stand in a file of sysctl.d."""

from __future__ import annotations

from bascule.model.state import HostState
from bascule.persist import sysctls
from bascule.site import parse

SITE = b"""\
site: s
networks: {red: {vlan: 30}}
hosts:
  h:
    nics: {eth0: {address: 192.168.1.10/24}, eth1: {}, eth2: {}, eth3: {}, eth4: {}}
    bonds: {bond0: {nics: [eth3, eth4], mode: active-backup}}
    bridges:
      br1: {uplink: eth1}
      br0: {uplink: eth0, address: from-uplink}
      br3: {uplink: bond0, vlan: 30}
guests:
  g: {host: h, nics: [{direct: eth2}]}
"""


def test_bridges_ports_and_shared_nics_are_quiet() -> None:
    site = parse(SITE, "s.yaml")
    text = sysctls.render(site, site.hosts["h"])[sysctls.PATH]
    assert [line.split("/")[3] for line in text.splitlines() if "arp_ignore = 1" in line] == ["br1", "br3", "eth2"]
    quiet = {line.split("/")[3] for line in text.splitlines() if "accept_ra = 0" in line}
    assert quiet == {"br1", "br3", "eth0", "eth1", "eth2", "bond0.30", "eth3", "eth4"}
    assert "accept_ra = 2" not in text


def test_a_host_that_routes_goes_on_listening_to_its_routers() -> None:
    site = parse(b"site: s\nhosts:\n  h: {nics: {eth0: {address: 192.168.1.10/24}}}\n", "s.yaml")
    routes = HostState(sysctls={"net/ipv6/conf/eth0/accept_ra": "2"})
    assert sysctls.render(site, site.hosts["h"]) == {}
    assert sysctls.render(site, site.hosts["h"], routes) == {sysctls.PATH: "net/ipv6/conf/eth0/accept_ra = 2\n"}
