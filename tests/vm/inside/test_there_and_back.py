"""Tags on tags, VLANs of bridges, ports without an untagged VLAN and every option of a bond, there and back.

All at one host, for a machine is slow: applied, planned again (nothing to do), imported (what the file said) and taken
back (as it was before).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bascule.importer.importing import Sources, import_sources
from bascule.model.site import Site
from bascule.persist.wanted import wanted_config
from tests.lab import Lab
from tests.vm.inside.rig import Rig

TAGS = """\
site: s
networks: {red: {vlan: 30}}
hosts:
  h:
    nics: {eth1: {}, eth2: {}, eth3: {}, eth4: {}, eth5: {}, eth6: {}}
    vlans:
      eth1.100: {link: eth1, id: 100}
      eth1.100.7: {link: eth1.100, id: 7, address: 10.7.0.5/24, gateway: 10.7.0.1, mtu: 1400}
      inner: {link: eth1.100, id: 30}
      outer: {link: eth2, id: 200, protocol: 802.1ad}
      in.30: {link: outer, id: 30, address: 10.30.0.5/24}
      in.31: {link: outer, id: 31}
      br3.40: {link: br3, id: 40, address: 10.40.0.5/24, ipv6: off}
      br3.41: {link: br3, id: 41, address: 10.41.0.5/24, mac: "02:00:00:00:41:41"}
      mgmt: {link: br4, id: 40, address: 10.42.0.5/24}
      deep: {link: mgmt, id: 41, address: 10.43.0.5/24}
    bridges:
      br1: {uplink: inner}
      br2: {uplink: in.31}
      br3: {uplink: eth3, address: 10.0.0.5/24}
      br4: {uplink: eth4, vlan_aware: true, vlans: [20-22, 40], pvid: 10}
      br5: {uplink: eth5, ports: [{link: eth6, vlans: 50, pvid: none}], vlan_aware: true, pvid: none}
guests:
  a: {host: h, nics: [{bridge: br1}]}
  b: {host: h, nics: [{bridge: br2}]}
  c: {host: h, nics: [{bridge: br3}]}
  d: {host: h, nics: [{bridge: br4, vlan: 30}]}
  e: {host: h, nics: [{bridge: br5, vlan: 30}]}
"""
HEARD = {  # where a frame of a guest comes out, and its outer tag there
    "a.0": {"eth1": 100},
    "b.0": {"eth2": 200},
    "c.0": {"eth3": None},
    "d.0": {"eth4": 30},
    "e.0": {"eth5": 30},
}
BONDS = """\
site: s
hosts:
  h:
    nics: {{eth1: {{}}, eth2: {{}}, eth3: {{}}, eth4: {{}}, eth5: {{}}, eth6: {{}}, eth7: {{}}, eth8: {{}}}}
    bonds:
      bond0: {{nics: [eth1, eth2], mode: 802.3ad{}}}
      bond1: {{nics: [eth3, eth4], mode: active-backup{}}}
      bond2: {{nics: [eth5, eth6], mode: balance-xor{}}}
      bond3: {{nics: [eth7, eth8], mode: active-backup{}}}
    bridges: {{br0: {{uplink: bond0, address: 10.0.0.5/24}}, br1: {{uplink: bond1, address: 10.1.0.5/24}}}}
"""
OPTIONS = (
    (
        ", lacp_rate: fast, hash_policy: layer3+4, miimon: 50, updelay: 200, downdelay: 100, min_links: 2"
        ', ad_select: bandwidth, mac: "02:00:00:00:0b:0d", mtu: 1400'
    ),
    ", primary: eth4, miimon: 200, updelay: 400",
    ", hash_policy: layer2+3",
    ", primary: eth8",
)
KERNEL: dict[str, dict[str, Any]] = {  # the same, by the kernel's names
    "bond0": {
        "ad_lacp_rate": "fast",
        "xmit_hash_policy": "layer3+4",
        "miimon": 50,
        "updelay": 200,
        "downdelay": 100,
        "min_links": 2,
        "ad_select": "bandwidth",
    },
    "bond1": {"primary": "eth4", "miimon": 200, "updelay": 400},
    "bond2": {"xmit_hash_policy": "layer2+3"},
    "bond3": {"primary": "eth8"},
}


def meaning(what: Site) -> dict[str, Any]:
    """Everything that a site file says of a host's links, whatever names its networks have.

    A bond gives its members its MTU, whether the file says it of them as well or not.
    """
    links = wanted_config(what, what.hosts["h"]).links
    shown = ("options", "parent", "master", "vlans", "addresses", "routes", "mtu", "port")
    said = {name: {key: getattr(link, key) for key in shown} for name, link in links.items()}
    for bond in what.hosts["h"].bonds.values():
        for nic in bond.nics:
            said[nic]["mtu"] = said[bond.name]["mtu"]
    return {str(name): facts for name, facts in said.items()}


def imported(rig: Rig) -> dict[str, Any]:
    """What an import of the running host says."""
    seen = rig.look()  # whose taps are ends of cables, and would be NICs
    known = {link.name for link in rig.site.hosts["h"].links()}
    state = replace(seen, links={name: link for name, link in seen.links.items() if name in known})
    found = import_sources(Sources(host="h", site="s", dialect=None, state=state))
    assert not found.left
    return meaning(found.site)


def options_of(rig: Rig) -> dict[str, dict[str, Any]]:
    """What the kernel says of the options in question."""
    seen = {bond: rig.info(bond) for bond in KERNEL}
    return {bond: {key: seen[bond].get(key) for key in asked} for bond, asked in KERNEL.items()}


def test_tags_there_and_back(lab: Lab) -> None:
    rig = Rig(lab, TAGS, *(f"eth{number}" for number in range(1, 7)), taps=tuple(HEARD))
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert dict(zip(HEARD, rig.heard_all(*((tap, None) for tap in HEARD)), strict=True)) == HEARD
    assert imported(rig) == meaning(rig.site)
    for link in rig.site.hosts["h"].vlans.values():
        there = rig.link(link.name)
        tag = there["linkinfo"]["info_data"]
        assert (there["link"], tag["id"], tag["protocol"]) == (link.link, link.id, link.protocol)
    rig.undo(before)
    assert rig.facts() == facts


def test_every_option_of_a_bond_there_and_back(lab: Lab) -> None:
    """One of the bonds is there before: what Bascule sets there goes as well, a primary that it had not included."""
    rig = Rig(lab, BONDS.format(*OPTIONS), *(f"eth{number}" for number in range(1, 9)))
    rig.ip("link add bond3 type bond mode active-backup miimon 100")
    for nic in ("eth7", "eth8"):
        rig.ip(f"link set {nic} master bond3")
    rig.ip("link set bond3 up")
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert options_of(rig) == KERNEL
    assert rig.link("bond0")["address"] == rig.link("eth1")["address"] == "02:00:00:00:0b:0d"
    assert imported(rig) == meaning(rig.site)
    standing = rig.look()
    rig.declare(BONDS.format("", "", "", ""))  # all of them as Bascule has them
    rig.apply()
    changed = rig.info("bond1")
    assert "primary" not in changed
    assert changed["miimon"] == 100
    rig.undo(standing)
    assert options_of(rig) == KERNEL
    rig.undo(before)
    assert rig.facts() == facts
    assert "primary" not in rig.info("bond3")
