"""ifcfg: the network-scripts of RHEL 5 to 8 and their kin, as in the classic recipe (ifcfg-br3, ifcfg-eth4)."""

from __future__ import annotations

from bascule.model.dhcp.offers import Offer
from bascule.persist.dialect import Dialect
from bascule.persist.formats import NETWORK_MANAGER_CONF

FOLDER = "etc/sysconfig/network-scripts"

SKIPPED = (  # what the scripts themselves pass over (network-functions, `get_config_by_…`)
    "~",
    ".bak",
    ".old",
    ".orig",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".swp",
)

UNUSED = {  # keys that say "no" to what a lease or an advertisement brings
    "DEFROUTE": (Offer.GATEWAY, 4),
    "PEERROUTES": (Offer.ROUTES, 4),
    "PEERDNS": (Offer.DNS, 4),
    "IPV6_DEFROUTE": (Offer.GATEWAY, 6),
    "IPV6_PEERROUTES": (Offer.ROUTES, 6),
    "IPV6_PEERDNS": (Offer.DNS, 6),
}

DIALECT = Dialect(
    name="ifcfg",
    reads=(
        "etc/sysconfig/network",
        *(f"{FOLDER}/{stem}-*" for stem in ("ifcfg", "route", "route6", "rule", "rule6")),
        *NETWORK_MANAGER_CONF,
    ),
    own=(f"{FOLDER}/ifcfg-[!l]*", f"{FOLDER}/ifcfg-l[!o]*"),
    files="`/etc/sysconfig/network-scripts/ifcfg-*`, `route-*`",
    readers="RHEL 5–8: network-scripts, NetworkManager",
    openvswitch=("mirrors", "patch ports"),
    notes="""\
`IPV6INIT=no` keeps the scripts away from IPv6; the kernel still makes its link-local address.
  The VLANs of a port of a VLAN-aware bridge (`BRIDGE_PORT_VLANS`) and `PEERROUTES` are NetworkManager's keys, which
  reads these files on RHEL 8; the older scripts ignore them.""",
)
