"""T2: rules that were written for what the host routes and catch frames that only cross a bridge: named in full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.lab import open_lab
from tests.real_hosts.field import BASE, Field, furnished
from tests.real_hosts.firewalls import clear, feed, load

pytestmark = pytest.mark.kernel

SITE = BASE.replace("192.168.1.0/24, gateway: 192.168.1.1", "[192.168.1.0/24, fd00:9::/64], gateway: 192.168.1.1")
assert SITE != BASE
ELSEWHERE, SENDER = "frames between its ports are given another destination", "address as their source"


def nft(family: str, kind: str, hook: str, priority: str, *lines: str) -> str:
    body = "\n".join(lines)
    return f"table {family} mine {{\nchain c {{\ntype {kind} hook {hook} priority {priority};\n{body}\n}}\n}}\n"


class Case(Struct, frozen=True):
    """Rules and what is said of them: words and a part of the rule, nothing where there is nothing to say."""

    name: str
    rules: str
    words: str = ""
    rule: str = ""
    program: tuple[str, ...] = ()


def iptables(table: str, chain: str, rule: str) -> str:
    return f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} {rule}\nCOMMIT\n"


IPTABLES, IP6TABLES = ("iptables-nft-restore",), ("ip6tables-nft-restore",)
STATEFUL = "chain f {\ntype filter hook forward priority 0; policy drop;\nct state established,related,new accept\n}\n"
LED = "tcp dport 80 dnat to 192.168.1.50:8080"
PROXY = nft("ip", "nat", "prerouting", "dstnat", LED)
# as the plugin portmap of CNI writes them, without the comments
PORTMAP = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-0123456789abcdef - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8080 -j CNI-DN-0123456789abcdef
-A CNI-DN-0123456789abcdef -s 10.244.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-0123456789abcdef -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.0.5:80
COMMIT
"""
MARKED = """\
table ip mine {
    chain p { type filter hook prerouting priority mangle; %s meta mark set 0x2000; }
    chain c { type nat hook postrouting priority srcnat; meta mark & 0x2000 == 0x2000 masquerade; }
}
"""
CASES = [
    Case("a container's published port", PORTMAP, program=IPTABLES),
    Case("a mark of what comes in elsewhere", MARKED % 'iifname "eth0"'),
    Case(
        "a mark of what crosses the bridge",
        MARKED % 'iifname "br0" tcp dport 80',
        f"between its ports are given the host's own {SENDER}",
        "masquerade",
    ),
    Case(
        "a mark that a chain of bridges sets",
        "table bridge own { chain c { type filter hook prerouting priority 0; meta mark set 0x2000; }; }\n"
        + MARKED % 'iifname "eth0"',
        f"between its ports are given the host's own {SENDER}",
        "masquerade",
    ),
    Case("a port, whoever is asked", PROXY, ELSEWHERE, "tcp dport 80 dnat"),
    Case(
        "a name server that is forced on guests",
        nft("ip", "nat", "prerouting", "dstnat", 'iifname "br0" udp dport 53 redirect to :5353'),
        ELSEWHERE,
        "udp dport 53 redirect",
    ),
    Case(
        "the same by iptables",
        iptables("nat", "PREROUTING", "-p udp --dport 53 -j REDIRECT --to-ports 5353"),
        ELSEWHERE,
        "REDIRECT",
        IPTABLES,
    ),
    Case(
        "for IPv6",
        nft("ip6", "nat", "prerouting", "dstnat", "tcp dport 80 redirect to :8080"),
        f"IPv6 {ELSEWHERE}",
        "redirect",
    ),
    Case(
        "of both families in one table",
        nft("inet", "nat", "prerouting", "dstnat", "tcp dport { 80, 443 } redirect to :3128"),
        f"IPv6 {ELSEWHERE}",
        "redirect",
    ),
    Case(
        "to one address far away",
        nft("ip", "nat", "prerouting", "dstnat", "ip daddr 8.8.8.8 udp dport 53 dnat to 192.168.1.1"),
        ELSEWHERE,
        "8.8.8.8",
    ),
    Case(
        "in a chain of the administrator's own",
        "table ip mine {\nchain web {\ndnat to 192.168.1.50\n}\nchain c {\ntype nat hook prerouting priority -100;\n"
        "tcp dport 80 jump web\n}\n}\n",
        ELSEWHERE,
        "in chain web",
    ),
    Case("a port of the host itself", PROXY.replace("tcp", "ip daddr 192.168.1.10 tcp")),
    Case(
        "the same, by a chain",
        "table ip mine {\nchain web {\ndnat to 192.168.1.50\n}\nchain c {\ntype nat hook prerouting priority -100;\n"
        "ip daddr 192.168.1.10 jump web\n}\n}\n",
    ),
    Case("what comes in by another link", PROXY.replace("tcp", 'iifname "eth0" tcp')),
    Case("what is local", PROXY.replace("tcp", "fib daddr type local tcp")),
    Case(
        "a sender for what leaves the subnet",
        nft("ip", "nat", "postrouting", "srcnat", "ip saddr 192.168.1.0/24 ip daddr != 192.168.1.0/24 masquerade"),
        f"that leave its subnet by a port are given the host's own {SENDER}",
        "masquerade",
    ),
    Case(
        "a VPN server's rule that names the bridge",
        iptables("nat", "POSTROUTING", "-o br0 -j SNAT --to-source 192.168.1.10"),
        f"between its ports are given another {SENDER}",
        "SNAT",
        IPTABLES,
    ),
    Case(
        "for IPv6",
        iptables("nat", "POSTROUTING", "-s fd00:9::/64 -j MASQUERADE"),
        f"IPv6 frames between its ports are given the host's own {SENDER}",
        "MASQUERADE",
        IP6TABLES,
    ),
    Case(
        "not what is bridged",
        iptables("nat", "POSTROUTING", "-m physdev ! --physdev-is-bridged -j MASQUERADE"),
        program=IPTABLES,
    ),
    Case("by the other NIC", nft("ip", "nat", "postrouting", "srcnat", 'oifname "eth0" masquerade')),
    Case(
        "a transparent proxy",
        nft("ip", "filter", "prerouting", "mangle", "tcp dport 80 tproxy to :3129 accept"),
        "some of them may be dropped",
        "tproxy",
    ),
    Case(
        "connections that nobody tracks",
        nft("ip", "filter", "prerouting", "raw", "tcp dport 80 notrack").removesuffix("}\n") + STATEFUL + "}\n",
        "then no state of a connection lets it pass",
        "tcp dport 80 notrack",
    ),
    Case(
        "the same, where no state is asked for",
        nft("ip", "filter", "prerouting", "raw", "tcp dport 80 notrack"),
    ),
    Case(
        "too late: they are tracked",
        nft("ip", "filter", "prerouting", "mangle", "tcp dport 80 notrack").removesuffix("}\n") + STATEFUL + "}\n",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("astray"))
        field.listen(field.guest("web", "web.0", "192.168.1.21/24"), 80)
        done = field.bascule("apply", field.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        with field.host.entered():
            for name in ("iptables", "ip6tables"):
                Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").write_text("1")
        yield field


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
def test_t02_plan_and_verify_name_the_rule(applied: Field, case: Case) -> None:
    clear(applied.host)
    feed(applied.host, case.rules, *case.program)
    warned = [note.text for note in applied.plan(SITE).notes if note.subject == "br0"]
    checks = applied.document("verify", applied.site(SITE))["checks"]
    told = [one["detail"] for one in checks if (one["id"], one["subject"]) == ("firewall", "br0")]
    assert warned == told, "one sentence"
    if not case.words:
        assert warned == []
        return
    assert any(case.words in one and case.rule in one for one in warned), warned
    assert not any(one["ok"] for one in checks if one["id"] == "firewall")


@pytest.mark.parametrize("names", [("docker.v4", "docker.v6"), ("libvirt.v4", "libvirt.v6")], ids=" ".join)
def test_t02_what_programs_translate_for_their_own_networks_is_no_concern(
    applied: Field, names: tuple[str, ...]
) -> None:
    """Ports that Docker publishes are the host's own; what it masquerades comes from its own bridge."""
    clear(applied.host)
    load(applied.host, *names)
    found = [note.text for note in applied.plan(SITE).notes if note.subject == "br0"]
    assert not any(ELSEWHERE in one or SENDER in one for one in found), found


def test_t02_apply_says_it_before_it_asks(real_host: Field) -> None:
    with real_host.host.entered():
        Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1")
    feed(real_host.host, PROXY)
    done = real_host.bascule("apply", real_host.site(SITE), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert f"{ELSEWHERE}, and do not reach whom they were sent to ('{LED}' in" in " ".join(done.stdout.split())
