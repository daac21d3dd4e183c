"""ifupdown: /etc/network/interfaces of Debian and its kin, in words that ifupdown and ifupdown2 both read."""

from __future__ import annotations

from types import MappingProxyType

from bascule.persist.dialect import Dialect
from bascule.persist.formats import LINK_FILES
from bascule.persist.formats.neighbours import MANAGED, NOARP, PERMANENT, PROXY_ARP, PROXY_NDP

MAIN = "etc/network/interfaces"
FILE = "etc/network/interfaces.d/bascule"  # ours
HOOK = "etc/dhcp/dhclient-enter-hooks.d/bascule"
SCAFFOLD = """\
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback
"""

DIALECT = Dialect(
    name="ifupdown",
    reads=(MAIN, "etc/network/interfaces.d/**", HOOK, *LINK_FILES),
    own=(MAIN, "etc/network/interfaces.d/*"),
    scaffold=MappingProxyType({MAIN: SCAFFOLD}),  # a host that has the file keeps it; it must source interfaces.d
    files="`/etc/network/interfaces.d/bascule`",
    readers="ifupdown, ifupdown2",
    notes="""\
What neither reader has a word for stands as an `up` line with the `ip` or `bridge` command. The line
  `bridge-ports-condone-regex` keeps ifupdown2 from taking the guests' taps off their bridge; ifupdown ignores it.
  `no-auto-down` keeps `ifdown -a`, and so a restart of networking.service, from deleting the bridges; to ifupdown2 that
  line is part of a comment. What a link does not use of a lease (`use_gateway`, `use_routes`, `use_dns`) stands in a
  hook of dhclient, `/etc/dhcp/dhclient-enter-hooks.d/bascule`; dhcpcd reads none, and wants `nogateway` in its own
  `/etc/dhcpcd.conf`, which is not written. `bascule import` reads that file, beside those of any dialect.""",
    last_leads=True,
    openvswitch=("mirrors", "patch ports"),
    neighbours=frozenset({PERMANENT, NOARP, MANAGED, PROXY_ARP, PROXY_NDP}),
)
