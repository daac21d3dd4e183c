"""D15: a probe that is lost says where, and what there is the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests.lab import open_lab, pings
from tests.real_hosts import xdp
from tests.real_hosts.field import BASE, MACS, ONE_NIC, Field, furnished
from tests.real_hosts.firewalls import clear, feed, load

pytestmark = pytest.mark.kernel

SITE = BASE.partition("expect:")[0]
WEB = parse(SITE.encode(), "site.yaml").guests["web"].nics[0].mac
PORT_OF_ETH1 = "p" + MACS["eth1"].replace(":", "")


class Bench:
    def __init__(self, field: Field) -> None:
        self.field = field
        self.web = field.guest("web", "web.0", "192.168.1.21/24")
        field.listen(self.web, 80)
        done = field.bascule("apply", field.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr

    def clear(self) -> None:
        for where in (self.field.host, self.field.switch, self.web):
            clear(where)
        for port in ("web.0", "eth1"):
            self.field.run("bridge", "link", "set", "dev", port, "isolated", "off", "state", "3")
        self.field.run("tc", "qdisc", "del", "dev", "web.0", "root")
        self.field.batch("link set eth1 up\nneigh flush all\n")
        self.field.ip(f"link set {PORT_OF_ETH1} up", self.field.switch)
        self.field.ip("link set eth0 up mtu 1500", self.web)

    def detail(self, *ids: str) -> str:
        checks = self.field.document("verify", self.field.site(SITE))["checks"]
        return " | ".join(one["detail"] for one in checks if one["id"] in ids and one["ok"] is False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_lab() as lab:
        yield Bench(furnished(lab, tmp_path_factory.mktemp("lost")))


def drops(bench: Bench, where: Namespace, family: str, hook: str, rule: str) -> None:
    feed(where, f"table {family} d {{ chain c {{ type filter hook {hook} priority -1; {rule}; }}; }}")


OUTSIDE = "port security of the switch, a hypervisor above this host, or a MAC filter of its hoster"
ARP, TRAFFIC = "arp-from-host", "unrestricted-within"
CASES = [
    (
        "the guest is silent",
        lambda b: b.field.run("ip", "link", "set", "eth0", "arp", "off", where=b.web),
        ARP,
        "it went out by web.0, and its answer never left web",
    ),
    (
        "both ports are isolated",
        lambda b: [b.field.run("bridge", "link", "set", "dev", x, "isolated", "on") for x in ("web.0", "eth1")],
        ARP,
        "it never left br0 by web.0: eth1 and web.0 are both isolated (port flag)",
    ),
    *(
        (
            f"a port that the spanning tree has {name}",
            lambda b, number=number: b.field.ip(f"link set web.0 type bridge_slave state {number}"),
            ARP,
            f"it never left br0 by web.0: web.0 is {name} (STP state of the port)",
        )
        for name, number in (("listening", 1), ("learning", 2))  # others end at once where STP is off
    ),
    (
        "a rule that counts",
        lambda b: drops(b, b.field.host, "bridge", "forward", 'iifname "web.0" counter drop'),
        ARP,
        "its answer came in by web.0 and never left br0: 'iifname \"web.0\" drop' (handle ",
    ),
    (
        "others' policy",
        lambda b: load(b.field.host, "docker.v4"),
        TRAFFIC,
        "it never left br0 by web.0: policy DROP in chain FORWARD of table ip filter drops it",
    ),
    (
        "a rule before the bridge that counts nothing",
        lambda b: drops(b, b.field.host, "bridge", "prerouting", 'iifname "web.0" drop'),
        ARP,
        "web.0 and never left br0: 'iifname \"web.0\" drop' in chain c of table bridge d drops it",
    ),
    (
        "the uplink is down",
        lambda b: b.field.ip("link set eth1 down"),
        ARP,
        "it left by eth0, and nothing of it came in by eth1: eth1 is down",
    ),
    (
        "the switch port is down",
        lambda b: b.field.ip(f"link set {PORT_OF_ETH1} down", b.field.switch),
        ARP,
        "nothing of it came in by eth1: eth1 has no carrier",
    ),
    (
        "the guest's NIC is down",
        lambda b: b.field.ip("link set eth0 down", b.web),
        ARP,
        "it never left br0 by web.0: web.0 has no carrier",
    ),
    (
        "the guest takes small packets only",
        lambda b: b.field.ip("link set eth0 mtu 1400", b.web),
        TRAFFIC,
        "it went out by web.0, and its answer never left web (web may take smaller packets only)",
    ),
    (
        "a queue that is too small for it",
        lambda b: b.field.run(
            *["tc", "qdisc", "add", "dev", "web.0", "root", "tbf", "rate", "1mbit", "burst", "1000", "limit", "3000"]
        ),
        TRAFFIC,
        "it never left br0 by web.0: the queue tbf ",
    ),
    (
        "port security outside",
        lambda b: drops(b, b.field.switch, "bridge", "prerouting", f'iifname "{PORT_OF_ETH1}" ether saddr {WEB} drop'),
        ARP,
        f"its answer left by eth1, and nothing came back by eth0: {OUTSIDE}",
    ),
    (
        "the switch does not bring it",
        lambda b: drops(b, b.field.switch, "bridge", "forward", f'oifname "{PORT_OF_ETH1}" drop'),
        ARP,
        f"it left by eth0, and nothing of it came in by eth1: {OUTSIDE}",
    ),
    (
        "not delivered",
        lambda b: drops(b, b.field.host, "ip", "input", 'iifname "eth0" icmp type echo-reply counter drop'),
        TRAFFIC,
        "its answer came back by eth0 and was not delivered: 'iifname \"eth0\" icmp type echo-reply drop' (handle ",
    ),
]


@pytest.mark.parametrize(("breaks", "what", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_d15_a_lost_probe_says_where(bench: Bench, breaks: object, what: str, words: str) -> None:
    bench.clear()
    breaks(bench)  # type: ignore[operator]
    if "tbf" in words and "tbf" not in bench.field.run("tc", "qdisc", "show", "dev", "web.0").stdout:
        pytest.skip("this kernel has no such queue")
    try:
        assert words in bench.detail(what)
    finally:
        bench.field.run("ip", "link", "set", "eth0", "arp", "on", where=bench.web)
        bench.clear()


def test_d15_a_guests_own_firewall_is_no_matter_of_size(bench: Bench) -> None:
    """A small packet is lost as well."""
    bench.clear()
    drops(bench, bench.web, "ip", "input", "icmp type echo-request drop")
    try:
        said = bench.detail(TRAFFIC)
    finally:
        bench.clear()
    assert "1500 bytes: no answer within 1.5 s: it went out by web.0, and its answer never left web" in said
    assert "smaller packets" not in said


def test_d15_without_a_loss_nothing_is_said(bench: Bench) -> None:
    bench.clear()
    assert bench.detail(ARP, TRAFFIC) == ""


SIX = """\
site: six
networks: {office: {subnet: 'fd00::/64'}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 'fd00::10/64'}, eth1: {network: office}}
    bridges: {br0: {uplink: eth1}}
guests:
  web: {host: kvm, nics: [{bridge: br0, address: 'fd00::21/64'}]}
"""


def test_d15_a_neighbour_solicitation_meets_the_chains_of_ipv6(real_host: Field) -> None:
    """It is asked as an ARP request is, which no chain of IP sees: nothing was said to explain its loss."""
    host, path = real_host, real_host.site(SIX)
    host.guest("web", "web.0", "fd00::21/64", site=SIX)
    if host.run("sysctl", "-w", "net.bridge.bridge-nf-call-ip6tables=1").returncode:
        pytest.skip("this kernel has no br_netfilter")
    assert host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    feed(host.host, "table ip6 d { chain c { type filter hook forward priority 0; policy drop; }; }")
    feed(host.host, "table arp d { chain c { type filter hook input priority 0; policy drop; }; }")
    checks = host.document("verify", path)["checks"]
    (lost,) = [one["detail"] for one in checks if one["id"] == "like-any-nic"]
    assert "kvm asks for fd00::21: no answer within" in lost
    assert "it never left br0 by web.0: policy DROP in chain c of table ip6 d drops it" in lost
    assert "table arp" not in lost


def test_d15_an_expectation_of_a_guest_on_the_asked_bridge_blames_no_switch(real_host: Field) -> None:
    """Its bridge looks for it by every port, so by the uplink as well; that nothing comes back there says nothing."""
    field = real_host
    text = ONE_NIC + "guests:\n  web: {host: kvm, nics: [{bridge: br0, address: 192.168.1.21/24}]}\n"
    web = field.guest("web", "web.0", "192.168.1.21/24", site=text)
    text += "expect:\n  - {from: kvm, to: web, verdict: reach}\n"
    done = field.bascule("apply", field.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert pings(field.host, "192.168.1.21"), "the host knows its MAC, and need not ask for it"
    field.ip("link set eth0 down", web)
    (one,) = field.document("verify", field.site(text))["expectations"]
    sentence = one["witness"]["sentence"]
    assert "never went out to web by web.0" in sentence and "port security" not in sentence, sentence


@pytest.mark.parametrize("link", ["eth1", "web.0"])
def test_d15_what_a_program_of_xdp_drops_no_capture_sees(
    bench: Bench, link: str, request: pytest.FixtureRequest
) -> None:
    """The frames were there: it was told as lost outside, and the model said that they arrive."""
    bench.clear()
    xdp.attach(bench.field.host, link, "edge", xdp.DROP, request)
    assert f"the XDP program edge on {link} may have dropped it unseen" in bench.detail(ARP)
    site = bench.field.site(SITE)
    ends = ("router", "web") if link == "eth1" else ("web", "router")
    assert bench.field.document("why", *ends, "--site", site)["result"] == "perhaps"


@pytest.mark.parametrize(
    ("hook", "rule", "asked", "asks"),
    [
        ("input", "ip saddr 10.9.0.21 drop", "drops it", "drops its answer"),
        ("input", "ip saddr 10.9.0.21 ct state new drop", "drops it", None),
        ("output", "ip daddr 10.9.0.21 drop", "drops its answer", "drops it"),
    ],
)
def test_d15_what_the_hosts_own_chains_drop_is_told_in_a_rehearsal(
    real_host: Field, hook: str, rule: str, asked: str, asks: str | None
) -> None:
    """A question of a guest to the host, or of the host to it, was unexplained, though ``why`` explains it."""
    field = real_host
    text = ONE_NIC.replace("networks:\n", "networks:\n  back: {subnet: 10.9.0.0/24}\n")
    text = text.replace("from-uplink}}", "from-uplink}, br9: {uplink: none, address: 10.9.0.10/24}}")
    text += "guests:\n  web: {host: kvm, nics: [{bridge: br9, address: 10.9.0.21/24}]}\n"
    feed(field.host, f"table inet d {{ chain c {{ type filter hook {hook} priority 0; {rule}; }}; }}")
    checks = field.document("rehearse", field.site(text))["checks"]
    (lost,) = (one["detail"] for one in checks if one["id"] == TRAFFIC and one["ok"] is False)
    said = dict(part.split(": ", 1) for part in lost.split("; "))
    assert said["web → kvm icmp"].endswith(f"in chain c of table inet d {asked}"), lost
    own = "kvm → web icmp" if hook == "input" else "kvm → web tcp"  # a ping is refused with the reason at once
    assert (own in said) == (asks is not None)
    if asks is not None:
        assert said[own].endswith(f"in chain c of table inet d {asks}"), lost
