"""A running kernel with rules, routes and neighbours of every kind: told, left alone, and nothing to do afterwards."""

from __future__ import annotations

from bascule.importer.importing import Sources, import_sources
from bascule.plan.make import make_plan
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab

BATCH = """\
link add eth0 type veth peer name eth0w
link set eth0 up
link set eth0w up
addr add 10.1.0.5/24 dev eth0
addr add 2001:db8:1::5/64 dev eth0 nodad
route add default via 10.1.0.1 metric 77
route add 10.73.0.0/16 via inet6 2001:db8:1::9 dev eth0
route add blackhole 10.66.0.0/16 metric 5
route add throw 10.69.0.0/16 table 77
route add 10.70.0.0/16 nexthop via 10.1.0.2 weight 3 nexthop via 10.1.0.3 weight 5
rule add priority 500 from 10.1.0.0/24 table 77
rule add priority 600 nop
rule add priority 601 prohibit from 10.9.0.0/16
rule add priority 602 from 10.8.0.0/16 table 9 realms 3/4
rule add priority 603 to 10.2.0.0/24 table main suppress_prefixlength 0
rule add priority 604 fwmark 0/0xffffffff table 78
rule add priority 605 fwmark 0/0xff table 78
rule add priority 606 fwmark 0x10/0 table 78
neigh add 10.1.0.200 lladdr 02:00:00:00:02:00 dev eth0 nud permanent
neigh add proxy 10.1.0.201 dev eth0
"""


def test_nothing_is_to_do_after_the_import_of_rules_and_routes_of_every_kind(lab: Lab) -> None:
    host: Namespace = lab.namespace("host")
    run(("ip", "-batch", "-"), namespace=host, stdin=BATCH)
    with host.entered():
        state = observe()
    found = import_sources(Sources(host="h", site="s", dialect=None, state=state), as_found=True)
    said = found.text
    for words in (
        "rule 600: from all nop",
        "{from: 10.9.0.0/16, action: prohibit, priority: 601}",
        "realms 3/4",
        "suppress_prefixlength: 0",
        "{fwmark: 0/0xffffffff, table: 78, priority: 604}",
        "{fwmark: 0/0xff, table: 78, priority: 605}",
        "{fwmark: 0x10/0, table: 78, priority: 606}",
        "{to: 10.66.0.0/16, type: blackhole, metric: 5}",
        "{to: 10.69.0.0/16, type: throw, table: 77}",
        "via: 2001:db8:1::9}: left out",
        "{router: 10.1.0.3, link: eth0, weight: 5}",
        "proxy 10.1.0.201 dev eth0",
        "10.1.0.200 lladdr 02:00:00:00:02:00 dev eth0 nud permanent",
    ):
        assert words in said, words
    assert "{to: 10.73.0.0/16}" not in said
    plan, _ = make_plan(found.site, found.site.hosts["h"], state)
    assert not plan, [(change.subject, change.action) for change in plan.changes]


OVERLAY = """\
link add eth0 type veth peer name eth0w
link set eth0 up
link set eth0w up
addr add 10.124.0.5/24 dev eth0
link add eth1 type veth peer name eth1w
link set eth1 up
link set eth1w up
addr add 10.125.0.5/24 dev eth1 valid_lft 3600 preferred_lft 1800
link add vx100 type vxlan id 100 local 10.124.0.5 dstport 4789
link add brx type bridge
link set vx100 master brx
link set vx100 up
link set brx up
"""


def test_what_an_import_can_only_guess_is_told(lab: Lab) -> None:
    """An address that ends though nobody asks for it, and a bridge that only a tunnel leads out of."""
    host = lab.namespace("host")
    run(("ip", "-batch", "-"), namespace=host, stdin=OVERLAY)
    done = lab.bascule(host, "import", "--dialect", "networkd")
    assert done.returncode == 0, done.stderr
    assert "eth1: 10.125.0.5/24 has a lifetime, and neither a DHCP client nor a file" in done.stdout
    assert "brx: 'uplink: none' is not the whole truth: vx100 leads out of it" in done.stdout
    assert "eth0: 10" not in done.stdout
