"""Where connection tracking looks at bridged packets, a host hears whole what a guest has sent in fragments.

It is the same packet all the same: none is lost, and a hostile one that a host heard whole was not stopped.
"""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

import pytest

from bascule.model.values import IfName, Mac
from bascule.policy.guards.ports import guarded_ports
from bascule.probe.domain import ProbeAttachment
from bascule.system.run import run
from bascule.verify.guards.frames import AttackedPort, attack_from
from tests.guards.segment import PARTIES, site
from tests.guards.test_late_frames import guest
from tests.lab import Lab

SWITCHES = Path("/proc/sys/net/bridge")
TRACKS = """
table inet lab {
	chain post { type nat hook postrouting priority 100; ip saddr 192.168.122.0/24 masquerade; }
}
"""


def test_a_host_that_joins_fragments_has_heard_them(lab: Lab) -> None:
    host = lab.namespace("host")
    with host.entered():
        if not SWITCHES.is_dir():
            pytest.skip("br_netfilter is not loaded: nothing joins bridged fragments")
        for switch in ("ip", "ip6"):
            (SWITCHES / f"bridge-nf-call-{switch}tables").write_text("1")
    run(["nft", "-f", "-"], stdin=TRACKS, namespace=host)
    other = PARTIES.other
    lab.ip(host, f"link add br0 address {other.mac} type bridge mcast_snooping 0")
    lab.ip(host, "link set br0 addrgenmode none up")
    web = guest(lab, host, "web")
    lab.ip(host, "link set web.0 master br0")
    itself = ProbeAttachment(
        endpoint="host", namespace=host, link=IfName("br0"), mac=Mac(other.mac), network="lan",
        addresses=(ip_interface(f"{other.ip4}/24"), ip_interface(f"{other.ip6}/64")),
    )  # fmt: skip
    some = site()
    port = next(one for one in guarded_ports(some, some.hosts["h"]) if one.guest == "web")
    found = attack_from(AttackedPort(port=port, host=host, inside=web, others=(itself,), parties=PARTIES))
    through, _, lost = found.detail.partition("; lost: ")
    assert "fragments" not in lost, found.detail
    assert "a big ping" not in lost, found.detail
    assert "DHCP requests in fragments" in through, found.detail
    for kind in (
        "neighbour discovery in fragments",
        "DHCP servers in fragments",
        "the same in an atomic fragment",
    ):
        assert kind in through, found.detail
