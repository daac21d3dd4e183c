"""D11: what programs that keep addresses and routes leave in the kernel goes to the bridge and comes back."""

from __future__ import annotations

from tests.real_hosts.field import ONE_NIC, Field

AGENT = "route add local 192.168.1.202/32 dev eth0 proto 66 scope host\n"  # of Google's guest agent, a forwarded IP
PACEMAKER = "address add 192.168.1.200/24 dev eth0 label eth0:vip\n"
KUBE_VIP = "address add 192.168.1.201/32 dev eth0\n"
FRR = "route add 10.20.0.0/16 via 192.168.1.1 proto bgp metric 20\nroute add blackhole 10.22.0.0/16 proto ospf\n"
TAILSCALE = """\
rule add fwmark 0x80000/0xff0000 lookup main pref 5210
rule add fwmark 0x80000/0xff0000 lookup default pref 5230
rule add fwmark 0x80000/0xff0000 unreachable pref 5250
rule add lookup 52 pref 5270
route add throw 192.168.1.0/24 table 52
route add 100.64.0.0/10 dev eth1 table 52
"""


def seen(field: Field) -> tuple[str, ...]:
    """Addresses, routes and rules of IPv4, the kernel's own left out."""
    routes = field.ip("-4 route show table all").splitlines()
    addresses = field.ip("-4 -o address show scope global").splitlines()
    return (
        *sorted(line.partition(" ")[2].strip() for line in addresses),
        *sorted(line.strip() for line in routes if "proto kernel" not in line),
        field.ip("rule show"),
    )


def test_d11_what_keepers_of_addresses_left_goes_along_and_comes_back(real_host: Field) -> None:
    real_host.batch(AGENT + PACEMAKER + KUBE_VIP + FRR + TAILSCALE)
    before, site = seen(real_host), real_host.site(ONE_NIC)
    plan = real_host.document("plan", site)
    assert not [one for one in plan["changes"] if "not in the file" in one["reason"]], plan["changes"]
    assert real_host.bascule("apply", site, "--yes", "--no-confirm").returncode == 0
    after = seen(real_host)
    assert sorted(" ".join(line.replace("br0", "eth0").split()) for line in after) == sorted(
        " ".join(line.split()) for line in before
    )
    assert "local 192.168.1.202 dev br0 table local proto 66 scope host" in after
    assert real_host.document("plan", site)["changes"] == []
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert seen(real_host) == before
