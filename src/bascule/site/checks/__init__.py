"""What must be true beyond the shape: one file per subject, each a few functions from the wiring to problems.

A new check is one function here and its file in CHECKS; it never raises, it notes problems in ``wiring.found``.
"""

from __future__ import annotations

from collections.abc import Callable

from bascule.site.checks.access import check_access
from bascule.site.checks.addresses import check_addresses
from bascule.site.checks.bonds import check_bonds
from bascule.site.checks.dhcp import check_dhcp, check_offers
from bascule.site.checks.forwards import check_forwards
from bascule.site.checks.guards import check_guards
from bascule.site.checks.links import check_links, check_rules, check_vlan_links
from bascule.site.checks.mtus import check_mtus
from bascule.site.checks.names import check_names
from bascule.site.checks.networks import check_networks
from bascule.site.checks.overlaps import check_overlaps
from bascule.site.checks.plugs import check_plugs
from bascule.site.checks.ports import check_ports
from bascule.site.checks.switches import check_switches
from bascule.site.checks.uplinks import check_uplinks
from bascule.site.checks.virtual import check_virtual
from bascule.site.wiring import DocumentWiring

CHECKS: tuple[Callable[[DocumentWiring], None], ...] = (
    check_names,
    check_networks,
    check_overlaps,
    check_uplinks,
    check_rules,
    check_ports,
    check_bonds,
    check_vlan_links,
    check_links,
    check_mtus,
    check_virtual,
    check_plugs,
    check_switches,
    check_guards,
    check_addresses,
    check_dhcp,
    check_offers,
    check_access,
    check_forwards,
)
