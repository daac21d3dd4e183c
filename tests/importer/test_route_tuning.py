"""How packets go by a route is told; that the route is there, and so where its packets go, is not lost with it."""

from __future__ import annotations

import pytest

from bascule.importer.importing import Sources, import_sources

PROFILE = """\
[connection]
id=eth2
type=ethernet
interface-name=eth2
[ipv4]
method=manual
address1=10.7.0.2/24
route1=10.8.0.0/16,10.7.0.9
route1_options=mtu=1400,lock-mtu=true,cwnd=30
"""
ROWS = {  # dialect: file, text, what is told
    "networkd": ("etc/systemd/network/a.network", ("[Match]\nName=eth2\n[Network]\nAddress=10.7.0.2/24\n"
                 "[Route]\nDestination=10.8.0.0/16\nGateway=10.7.0.9\nType=unicast\nMTUBytes=1400\nQuickAck=yes\n"),
                 ("MTUBytes=1400", "QuickAck=yes")),
    "netplan": ("etc/netplan/a.yaml", ("network: {version: 2, ethernets: {eth2: {addresses: [10.7.0.2/24], routes: "
                "[{to: 10.8.0.0/16, via: 10.7.0.9, mtu: 1400, congestion-window: 30}]}}}"),
                ("mtu: 1400", "congestion-window: 30")),
    "keyfile": ("etc/NetworkManager/system-connections/a.nmconnection", PROFILE,
                ("mtu=1400", "lock-mtu=true", "cwnd=30")),
    "ifupdown": ("etc/network/interfaces", ("auto eth2\niface eth2 inet static\n address 10.7.0.2/24\n"
                 " up ip route add 10.8.0.0/16 via 10.7.0.9 mtu lock 1400 initcwnd 30\n"),
                 ("mtu lock 1400", "initcwnd 30")),
    "ifcfg": ("etc/sysconfig/network-scripts/route-eth2", "10.8.0.0/16 via 10.7.0.9 mtu 1400 quickack 1\n",
              ("mtu 1400", "quickack 1")),
}  # fmt: skip


@pytest.mark.parametrize("dialect", ROWS)
def test_a_route_is_not_lost_over_how_packets_go_by_it(dialect: str) -> None:
    path, text, told = ROWS[dialect]
    files = {path: text}
    if dialect == "ifcfg":
        files["etc/sysconfig/network-scripts/ifcfg-eth2"] = "DEVICE=eth2\nIPADDR=10.7.0.2\nPREFIX=24\nONBOOT=yes\n"
    found = import_sources(Sources(host="h", site="s", dialect=dialect, files=files))
    (route,) = found.site.hosts["h"].nics["eth2"].routes  # type: ignore[index]  # a name
    assert (str(route.to), str(route.via)) == ("10.8.0.0/16", "10.7.0.9")
    said = [str(one) for one in found.left]
    assert [word for word in told if not any(word in line for line in said)] == []
    assert len(said) <= len(told)


@pytest.mark.parametrize(
    "way", ["nexthop", "nexthop via", "nexthop dev eth2", "nexthop via 10.7.0.9 dev", "nexthop x y"]
)
def test_half_a_way_of_a_route_costs_that_route(way: str) -> None:
    """And not the import."""
    line = f"10.8.0.0/16 nexthop via 10.7.0.1 dev eth2 {way}"
    folder = "etc/sysconfig/network-scripts"
    files = {f"{folder}/route-eth2": f"{line}\n10.9.0.0/16 via 10.7.0.1\n",
             f"{folder}/ifcfg-eth2": "DEVICE=eth2\nIPADDR=10.7.0.2\nPREFIX=24\nONBOOT=yes\n"}  # fmt: skip
    found = import_sources(Sources(host="h", site="s", dialect="ifcfg", files=files))
    assert found.site.hosts["h"].routes == ()
    assert [str(route.to) for route in found.site.hosts["h"].nics["eth2"].routes] == ["10.9.0.0/16"]  # type: ignore[index]  # a name
    assert any(line in str(one) for one in found.left)
