"""D11: several IPv6 addresses of one subnet move in their order, which says with which one the host speaks."""

from __future__ import annotations

import json

from tests.real_hosts.field import ONE_NIC, Field

ADDRESSES = """\
address add fd00:1::10/64 dev eth0 nodad
address add fd00:1::11/64 dev eth0 nodad noprefixroute
address add fd00:1::12/64 dev eth0 nodad
address add fd00:9::1 peer fd00:9::2 dev eth0 nodad
"""


def told(field: Field, link: str) -> tuple[list[str], str, list[str]]:
    """The global addresses of a link in the kernel's order, with which one it speaks, and the routes of eth0."""
    shown = json.loads(field.lab.ip(field.host, f"-6 -j address show dev {link} scope global"))
    (way,) = json.loads(field.lab.ip(field.host, "-6 -j route get fd00:1::50"))
    routes = json.loads(field.lab.ip(field.host, "-6 -j route show dev eth0"))
    return (
        [one["local"] for entry in shown if entry for one in entry["addr_info"] if one],
        way["prefsrc"],
        sorted(one["dst"] for one in routes if not one["dst"].startswith("fe80")),
    )


def test_d11_the_source_address_stays_the_same_and_no_route_is_left_behind(real_host: Field) -> None:
    real_host.batch(ADDRESSES)
    before = told(real_host, "eth0")
    assert before[:2] == (["fd00:9::1", "fd00:1::12", "fd00:1::11", "fd00:1::10"], "fd00:1::12")
    site = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", site, "--yes", "--confirm-within", "600s").returncode == 0
    assert told(real_host, "br0") == (*before[:2], [])
    assert real_host.document("plan", site)["changes"] == []
    done = real_host.bascule("undo", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert told(real_host, "eth0") == before


def test_d11_routes_of_other_metrics_go_with_their_addresses(real_host: Field) -> None:
    """The kernel keeps the route of an address as long as any other address is in its prefix."""
    real_host.batch("address add fd00:1::20/64 dev eth0 nodad metric 2000\naddress add fd00:1::21/64 dev eth0 nodad\n")
    before = told(real_host, "eth0")
    site = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", site, "--yes", "--confirm-within", "600s").returncode == 0
    assert told(real_host, "br0") == (*before[:2], [])
    assert real_host.document("plan", site)["changes"] == []
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert told(real_host, "eth0") == before


def on_eth1(field: Field, *addresses: str) -> str:
    """A site file with these on eth1."""
    nic = f"eth1: {{network: lan, address: [{', '.join(addresses)}]}}"
    return field.site(f"site: s\nnetworks: {{lan: {{subnet: 'fd00:1::/64'}}}}\nhosts: {{kvm: {{nics: {{{nic}}}}}}}\n")


def test_d11_an_address_that_comes_back_does_not_lead_where_another_one_led(real_host: Field) -> None:
    """The kernel puts what undo gives back before what stayed; that one is set anew, and its route keeps its source."""
    real_host.batch("address add fd00:1::10/64 dev eth1 nodad\n")
    site = on_eth1(real_host, "fd00:1::10/64", "fd00:1::12/64")
    mind = str(real_host.document("plan", site)["mind"])
    assert "the host sends from fd00:1::12/64 from then on and no longer from fd00:1::10/64" in mind
    assert real_host.bascule("apply", site, "--yes", "--no-confirm").returncode == 0
    assert real_host.document("plan", site)["changes"] == []
    real_host.batch(
        "address add fd00:1::13/64 dev eth1 nodad preferred_lft 3000 valid_lft 4000\n"
        "route add fd00:77::/64 via fd00:1::99 dev eth1 src fd00:1::13\n"
    )
    before = told(real_host, "eth1"), real_host.ip("-6 route show fd00:77::/64")
    assert before[0][:2] == (["fd00:1::13", "fd00:1::12", "fd00:1::10"], "fd00:1::13")
    site = on_eth1(real_host, "fd00:1::10/64")
    assert real_host.bascule("apply", site, "--yes", "--no-confirm").returncode == 0
    assert told(real_host, "eth1")[0] == ["fd00:1::13", "fd00:1::10"]
    done = real_host.bascule("undo", "--yes")
    assert done.returncode == 0 and "fd00:1::13/64 anew" in done.stdout + done.stderr, done.stdout + done.stderr
    assert (told(real_host, "eth1"), real_host.ip("-6 route show fd00:77::/64")) == before


def test_d11_an_order_that_others_have_changed_since_stays(real_host: Field) -> None:
    real_host.batch("address add fd00:1::10/64 dev eth1 nodad\naddress add fd00:1::11/64 dev eth1 nodad\n")
    site = on_eth1(real_host, "fd00:1::10/64", "fd00:1::11/64", "fd00:1::12/64")
    assert real_host.bascule("apply", site, "--yes", "--no-confirm").returncode == 0
    real_host.batch("address del fd00:1::10/64 dev eth1\naddress add fd00:1::10/64 dev eth1 nodad\n")
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert told(real_host, "eth1")[:2] == (["fd00:1::10", "fd00:1::11"], "fd00:1::10")


def test_d11_of_two_links_in_one_prefix_the_same_one_leads(real_host: Field) -> None:
    """The kernel puts the route of an address that moves behind that of the other link, and goes by the first one."""
    real_host.batch("address add fd00:5::1/64 dev eth0 nodad\naddress add fd00:5::2/64 dev eth1 nodad\n")
    before = real_host.ip("-6 route show fd00:5::/64")
    assert before.splitlines()[0].startswith("fd00:5::/64 dev eth0")
    assert real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    assert real_host.ip("-6 route show fd00:5::/64") == before.replace("eth0", "br0")
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert real_host.ip("-6 route show fd00:5::/64") == before
    real_host.batch("address del fd00:5::2/64 dev eth1\n")
    assert "eth1" not in real_host.ip("-6 route show fd00:5::/64"), "the route does not go with its address any more"
