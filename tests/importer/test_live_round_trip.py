"""A host that runs as its site file says is imported as what the site file says: tags on tags, and options of bonds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bascule.importer.importing import Sources, import_sources
from bascule.model.site import Site
from bascule.model.values import parse_mac
from bascule.persist.wanted import declared_state, wanted_config
from bascule.site import parse

SITE = """\
site: s
networks: {{red: {{vlan: 30}}}}
hosts:
  h:
    nics: {{eth4: {{}}, eth5: {{}}}}
{}
guests: {{web: {{host: h, nics: [{{bridge: br0{}}}]}}}}
"""
STACKS = {  # what stands below the host, and at its guest's NIC
    "a VLAN in a VLAN": ("""\
    vlans:
      eth4.100: {link: eth4, id: 100}
      eth4.100.7: {link: eth4.100, id: 7, address: 10.7.0.5/24, gateway: 10.7.0.1, mtu: 1400}
      inner: {link: eth4.100, id: 30}
    bridges: {br0: {uplink: inner}}""", ""),
    "an outer tag of 802.1ad": ("""\
    vlans:
      outer: {link: eth4, id: 200, protocol: 802.1ad}
      inner: {link: outer, id: 30, address: 10.30.0.5/24}
      other: {link: outer, id: 31}
    bridges: {br0: {uplink: other}}""", ""),
    "VLANs of a plain bridge": ("""\
    vlans:
      br0.40: {link: br0, id: 40, address: 10.40.0.5/24, ipv6: off}
      br0.41: {link: br0, id: 41, address: 10.41.0.5/24, mac: "02:00:00:00:41:41"}
    bridges: {br0: {uplink: eth4, address: 10.0.0.5/24}}""", ""),
    "a VLAN of a VLAN-aware bridge, and in that one more": ("""\
    vlans:
      mgmt: {link: br0, id: 40, address: 10.40.0.5/24}
      deep: {link: mgmt, id: 41, address: 10.41.0.5/24}
    bridges: {br0: {uplink: eth4, vlan_aware: true, vlans: [20-22, 40], pvid: 10}}""", ", vlan: 30"),
    "ports that take nothing untagged": ("""\
    bridges: {br0: {uplink: eth4, ports: [{link: eth5, vlans: 50, pvid: none}], vlan_aware: true, pvid: none}}""",
        ", vlan: 30"),
    "802.3ad": ("""\
    bonds:
      bond0:
        {nics: [eth4, eth5], mode: 802.3ad, lacp_rate: fast, hash_policy: layer3+4, miimon: 50, updelay: 200,
         downdelay: 100, min_links: 2, ad_select: bandwidth, mac: "02:00:00:00:0b:0d", mtu: 1400}
    bridges: {br0: {uplink: bond0, address: 10.0.0.5/24}}""", ""),
    "active-backup": ("""\
    bonds: {bond0: {nics: [eth4, eth5], mode: active-backup, primary: eth5, miimon: 200, updelay: 400}}
    bridges: {br0: {uplink: bond0, address: 10.0.0.5/24}}""", ""),
}  # fmt: skip


def meaning(what: Site) -> dict[str, Any]:
    """Everything that a site file says of a host's links, whatever names its networks have."""
    shown = ("options", "parent", "master", "vlans", "addresses", "routes", "mtu", "port")
    links = wanted_config(what, what.hosts["h"]).links
    return {name: {key: getattr(link, key) for key in shown} for name, link in links.items()}


@pytest.mark.parametrize("name", STACKS)
def test_what_runs_is_imported_as_it_was_declared(name: str) -> None:
    site = parse(SITE.format(*STACKS[name]).encode(), "site.yaml")
    runs = declared_state(site, site.hosts["h"])
    nics = {
        nic: replace(runs.links[nic], mac=parse_mac(f"02:00:00:00:00:0{number}"))
        for number, nic in enumerate(site.hosts["h"].nics, 4)
    }
    state = replace(runs, links={**runs.links, **nics})
    found = import_sources(Sources(host="h", site="s", dialect=None, state=state))
    assert meaning(found.site) == meaning(site)
