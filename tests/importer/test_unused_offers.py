"""What files refuse of a lease: in the site file, unless the kernel has it all the same; and then the plan is empty."""

from __future__ import annotations

import pytest

from bascule.importer.importing import Imported, Sources, import_sources
from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link, LinkFacts, Route
from bascule.model.values import IfName, Mac
from bascule.plan.make import make_plan

ETH0 = IfName("eth0")
FILE = "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n[DHCPv4]\nUseGateway=no\nUseDNS=no\n"


def imported(*routes: Route) -> tuple[Imported, HostState]:
    link = Link(
        name=ETH0,
        options=Physical(),
        up=True,
        mac=Mac("52:54:00:00:00:01"),
        facts=LinkFacts(permanent_mac=Mac("52:54:00:00:00:01")),
        addresses=(Address(ip="10.0.0.57/24", dynamic=True),),
    )
    state = HostState.of([link], routes=routes)
    files = {"etc/systemd/network/10-eth0.network": FILE}
    sources = Sources(host="h", site="s", dialect="networkd", files=files, state=state)
    return import_sources(sources, as_found=True), state


@pytest.mark.parametrize("protocol", ["dhcp", "boot"])
def test_a_leased_gateway_that_is_there_is_told_and_stays(protocol: str) -> None:
    route = Route(dst="0.0.0.0/0", dev=ETH0, gateway="10.0.0.1", protocol=protocol, metric=100)
    found, state = imported(route)
    told = "eth0: the route to 0.0.0.0/0 via 10.0.0.1 is in the kernel, but the files refuse it"
    assert told in found.conflicts
    entry = found.document["hosts"]["h"]["nics"]["eth0"]
    assert ("use_gateway" in entry, entry["use_dns"]) == (False, "ipv6")
    plan, _ = make_plan(found.site, found.site.hosts["h"], state)
    assert not plan


def test_one_that_is_not_there_is_refused() -> None:
    found, state = imported()
    assert found.conflicts == ()
    entry = found.document["hosts"]["h"]["nics"]["eth0"]
    assert (entry["use_gateway"], entry["use_dns"]) == ("ipv6", "ipv6")
    plan, _ = make_plan(found.site, found.site.hosts["h"], state)
    assert not plan
