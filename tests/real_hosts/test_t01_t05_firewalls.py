"""T1 to T5: what doctor, plan and verify say of others' firewall rules is what real frames meet there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from bascule.model.site import Site
from bascule.observe.firewall import read_firewall
from bascule.providers.observe import observe
from bascule.questions import host_model
from bascule.system.net.netns import Namespace
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks
from bascule.verify.doctor.finding import DoctorFacts, Finding
from bascule.verify.doctor.firewall.bridge_filter import look
from bascule.verify.reachability.question import distinct, ways_between
from bascule.workflow import load as load_site
from bascule.workflow import load_for
from tests.apply.hosts import environment
from tests.lab import open_lab
from tests.real_hosts.field import BASE, Field, furnished
from tests.real_hosts.firewalls import clear, connects, feed, load

pytestmark = pytest.mark.kernel

SITE = BASE.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:1::/64']")
SITE = SITE.replace("address: 192.168.1.21/24", "address: [192.168.1.21/24, 'fd00:1::21/64']")
SITE = SITE.replace(
    "expect:", "  pc: {nics: [{network: office, address: [192.168.1.50/24, 'fd00:1::50/64']}]}\nexpect:"
)
IPV4, IPV6 = "192.168.1.21", "fd00:1::21"
REJECT_AT_END = "*filter\n:FORWARD ACCEPT\n-A FORWARD -i virbr9 -j ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"  # noqa: E501
RPFILTER = "table inet rp { chain p { type filter hook prerouting priority -150; fib saddr . iif oif missing drop; }; }"
BRIDGE_DROP = (
    "table bridge f { chain c { type filter hook forward priority -1; policy drop; ether type arp accept; }; }"
)
DORMANT = BRIDGE_DROP.replace("{ chain", "{ flags dormant; chain", 1)
SIX_ONLY = "*filter\n:FORWARD DROP\nCOMMIT\n"
AT_A_LINK = (
    'table {} f {{ chain c {{ type filter hook {} device "{}" priority 0; policy drop; ether type arp accept; }}; }}'
)
PORT_SET = (
    'table bridge f { set wires { type ifname; elements = { "eth1", "eth9" }; };'
    " chain c { type filter hook prerouting priority 5; iifname @wires ether type { ip, ip6 } drop; }; }"
)
SUBNETS = (
    "table inet f { chain c { type filter hook forward priority 0;"
    " ip daddr vmap { 192.168.1.0/24 : drop, 10.0.0.0/8 : accept }; }; }"
)
TWO_DEEP = "*filter\n:FORWARD ACCEPT\n:a -\n:b -\n-A FORWARD -j a\n-A a -i br+ -j b\n-A b -j DROP\nCOMMIT\n"
PHYSDEV = "*filter\n:FORWARD DROP\n-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT\nCOMMIT\n"
NFT_SETS = """table inet site {
 map zones { type ifname : verdict; elements = { "br0" : goto lan, "eth0" : accept }; }
 chain lan { oifname "br0" accept; }
 chain forwarded { type filter hook forward priority 5; policy drop; iifname vmap @zones; }
}
"""


class Situation(Struct, frozen=True):
    """Rules on the host, and which families of TCP connections then pass between web and pc.

    ``drops`` are the families of which the doctor says that others of their frames are lost, if it is not the rest.
    """

    name: str
    files: tuple[str, ...] = ()
    text: tuple[str, ...] = ()  # the program, and what it is given
    passes: tuple[bool, bool] = (False, False)
    owner: str = ""
    drops: tuple[bool, bool] | None = None
    unproven: str = ""  # a rule that is named, for what it drops depends on what the doctor does not know

    @property
    def lost(self) -> set[str]:
        drops = self.drops or tuple(not one for one in self.passes)
        return {family for family, lost in zip(("IPv4", "IPv6"), drops, strict=True) if lost}


SITUATIONS = [
    Situation("docker", files=("docker.v4", "docker.v6"), owner="Docker"),
    Situation("firewalld", files=("firewalld.nft",), owner="firewalld"),
    Situation("ufw", files=("ufw.v4", "ufw.v6"), owner="ufw"),
    Situation("libvirt", files=("libvirt.v4", "libvirt.v6"), passes=(True, True)),
    Situation(
        "T1: REJECT is the last rule, the policy ACCEPT",
        text=("iptables-nft-restore", REJECT_AT_END),
        passes=(False, True),
    ),
    Situation("T1: the same, legacy", text=("iptables-legacy-restore", REJECT_AT_END), passes=(False, True)),
    Situation("T1: reverse path filter", text=("nft", RPFILTER)),
    Situation("T1: bridge family", text=("nft", BRIDGE_DROP)),
    Situation(
        "a table that is turned off",
        text=("nft", BRIDGE_DROP.replace("{ chain", "{ flags dormant; chain", 1)),
        passes=(True, True),
    ),
    Situation("T1: at the NIC itself", text=("nft", AT_A_LINK.format("netdev", "ingress", "eth1"))),
    Situation("T1: at the guest's tap", text=("nft", AT_A_LINK.format("netdev", "egress", "web.0"))),
    Situation("T1: at the NIC, family inet", text=("nft", AT_A_LINK.format("inet", "ingress", "eth1"))),
    Situation("T1: a set of ports", text=("nft", PORT_SET)),
    Situation("T1: a map of subnets", text=("nft", SUBNETS), passes=(False, True)),
    Situation("T1: two jumps deep", text=("ip6tables-legacy-restore", TWO_DEEP), passes=(True, False)),
    Situation("T4: only ip6tables -P FORWARD DROP", text=("ip6tables-nft-restore", SIX_ONLY), passes=(True, False)),
    Situation("only ip6tables-legacy", text=("ip6tables-legacy-restore", SIX_ONLY), passes=(True, False)),
    Situation("physdev lets bridged frames through", text=("iptables-nft-restore", PHYSDEV), passes=(True, True)),
    Situation("a verdict map that knows the bridge", text=("nft", NFT_SETS), passes=(True, True)),
    Situation("a verdict map of another bridge", text=("nft", NFT_SETS.replace("br0", "br1"))),
    Situation(
        "firewalld: a zone by its source",
        files=("firewalld-source-zone.nft",),
        passes=(True, False),
        owner="firewalld",
        drops=(True, True),
    ),
    Situation(
        "ufw: one service routed",
        files=("ufw-route.v4", "ufw-route.v6"),
        passes=(True, False),  # the neighbour search (ARP or ND) is not routed
        owner="ufw",
        drops=(True, True),
    ),
    Situation("Docker with iptables: false", passes=(True, True)),
    Situation(
        "Docker on nftables",
        files=("shapes/docker.nft",),
        passes=(True, True),
        unproven='172.19.0.2 iifname != "br-apps" drop',
    ),
    Situation(
        "Docker on nftables, without icc on this bridge", files=("shapes/docker-of-our-bridge.nft",), owner="Docker"
    ),
    Situation("Podman 4", files=("podman.v4",), passes=(True, True)),
    Situation("Podman", files=("shapes/netavark.nft",), passes=(True, True)),
    Situation("k3s", files=("shapes/k3s.v4",), passes=(True, True)),
    Situation("kube-proxy on nftables", files=("shapes/kube-proxy.nft",), passes=(True, True), unproven="(Kubernetes)"),
    Situation("Incus", files=("shapes/incus.nft",), passes=(True, True)),
    Situation("Incus with an ACL on this bridge", files=("shapes/incus-acl.nft",), owner="Incus"),
    Situation(
        "Incus filters another MAC at this port",
        files=("shapes/incus-filter.nft",),
        drops=(False, False),
        unproven="ether saddr != 00:16:3e:12:34:56 drop",
    ),
    Situation("libvirt on nftables", files=("shapes/libvirt.nft",), passes=(True, True)),
]


class Scene(Struct):
    field: Field
    path: str
    web: Namespace

    def furnish(self, situation: Situation) -> None:
        clear(self.field.host)
        load(self.field.host, *situation.files)
        if situation.text:
            program, text = situation.text
            feed(self.field.host, text, *(() if program == "nft" else (program,)))

    def check(self, passes: tuple[bool, bool]) -> None:
        for where in (self.field.pc, self.web):  # as those who have not spoken with each other before
            self.field.ip("neigh flush dev eth0", where)
        for address, ok in zip((IPV4, IPV6), passes, strict=True):
            assert connects(self.field, self.field.pc, address, seconds=5 if ok else 0.4) is ok, address

    def ask_the_model(self, passes: tuple[bool, bool]) -> None:
        """The walk of the same connection says what its frames have met, and never a yes or no that is wrong."""
        with self.field.host.entered(), environment(self.field.env()):
            given = host_model(*load_for(self.path, None), here=True)
        walks = Walks(given.network, distinct(end for one in given.known.values() for end in one.ends))
        tcp = Traffic(protocol="tcp", port=80)
        ways = ways_between(given.network, given.known["pc"], given.known["web"])
        said: dict[int, Certainty] = {}
        for pc, web, version, number in ways:
            found = walks.ask(pc, web, number, version, tcp).result
            said[version] = min(found, said.get(version, found), key=lambda one: one.rank)
        assert said == {
            version: Certainty.YES if ok else Certainty.NO for version, ok in zip((4, 6), passes, strict=True)
        }

    def findings(self, site: Site | None = None) -> list[Finding]:
        """What the doctor's look at the bridges says here and now; the whole doctor tries KVM as well."""
        with self.field.host.entered():
            state = observe()
            site = site or load_site(self.path)
            return list(look(DoctorFacts(state=state, network=read_firewall(state), site=site, host="kvm")))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("firewalls"))
        field.batch("addr add fd00:1::50/64 dev eth0 nodad\n", field.pc)
        web = field.guest("web", "web.0", f"{IPV4}/24", f"{IPV6}/64", site=SITE)
        field.listen(web, 80)
        path = field.site(SITE)
        done = field.bascule("apply", path, "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        assert connects(field, field.pc, IPV4)
        assert connects(field, field.pc, IPV6)
        yield Scene(field, path, web)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_t01_t02_t03_t04_the_doctor_says_what_frames_meet_and_its_fix_ends_it(
    scene: Scene, situation: Situation
) -> None:
    scene.furnish(situation)
    scene.check(situation.passes)
    bad = [one for one in scene.findings() if one.severity == "problem"]
    scene.ask_the_model(situation.passes)
    told = {family for family in ("IPv4", "IPv6") for one in bad if family in one.text.split("frames")[0]}
    assert told == situation.lost
    for one in bad:
        assert situation.owner in one.text
        assert one.subject == "br0"
        assert "docker0" not in one.fix
        assert len(one.evidence) > 0
        if "reverse path" in situation.name:  # T11
            assert "drops every sender there as spoofed" in one.text
    if situation.unproven:
        assert situation.unproven in str([one.evidence for one in scene.findings() if one.severity == "warning"])
    if situation.unproven or situation.owner in {"firewalld", "ufw"}:
        return  # with their own programs, in test_t03_the_printed_fixes_work.py
    for one in bad:
        done = scene.field.run("bash", "-ec", one.fix)
        assert done.returncode == 0, done.stderr
    scene.check((True, True))
    said = scene.findings()
    assert all(one.severity == "note" and "no rule of its" in one.text for one in said), said


@pytest.mark.parametrize("program", ["iptables-nft-restore", "iptables-legacy-restore", "ip6tables-nft-restore"])
def test_t02_masquerading_that_catches_bridged_frames_is_said_by_plan_and_verify(scene: Scene, program: str) -> None:
    clear(scene.field.host)
    subnet, passes = ("fd00:1::/64", (True, False)) if "6" in program else ("192.168.1.0/24", (False, True))
    try:
        feed(scene.field.host, f"*nat\n-A POSTROUTING -s {subnet} -j MASQUERADE\nCOMMIT\n", program)
        scene.check(passes)
        plan = [note["text"] for note in scene.field.document("plan", scene.path)["notes"]]
        checks = scene.field.document("verify", scene.path)["checks"]
    finally:
        feed(scene.field.host, "*nat\nCOMMIT\n", program)
    assert any("frames between its ports are given the host's own address" in text for text in plan), plan
    (bad,) = [one for one in checks if one["id"] == "firewall"]
    assert (bad["subject"], bad["ok"]) == ("br0", False)
    assert 'oifname != "br0"' in bad["detail"]


def test_t03_a_zone_of_firewalld_that_forwards_is_well_for_ipv4(scene: Scene) -> None:
    clear(scene.field.host)
    load(scene.field.host, "firewalld-zone-of-br0.nft")
    scene.check((True, False))  # its reverse path filter still drops IPv6
    (bad,) = [one for one in scene.findings() if one.severity == "problem"]
    assert bad.text.startswith("IPv6 frames")
    assert "IPv6_rpfilter=no/' /etc/firewalld/firewalld.conf; firewall-cmd --complete-reload" in bad.fix


def test_t04_without_a_site_file_other_programs_bridges_are_left_alone(scene: Scene) -> None:
    """By their names, and by the rules of Docker and Incus where somebody has named them."""
    scene.furnish(SITUATIONS[0])
    named = "iptables-nft -A FORWARD -o shop -j DOCKER"
    for chain in ("CNI-ADMIN", "NETAVARK-ADMIN"):  # the administrator's own lines, as those in DOCKER-USER are
        named += f"; iptables-nft -N {chain}; iptables-nft -A {chain} -i br0 -j RETURN"
    named += "; iptables-nft -A DOCKER-USER -i br0 -j RETURN"
    assert scene.field.run("bash", "-ec", named).returncode == 0
    feed(scene.field.host, 'table inet incus { chain fwd.lan { iifname "lan" accept; }; }')
    others = ("docker0", "br-0123456789ab", "virbr0", "cni0", "shop", "lan")
    for name in others:
        scene.field.ip(f"link add {name} type bridge")
    try:
        said = scene.field.document("doctor")
    finally:
        for name in others:
            scene.field.ip(f"link del {name}")
    (bad,) = [one for one in said["findings"] if one["id"] == "bridge-filter" and one["severity"] == "problem"]
    assert bad["subject"] == "br0"
    assert bad["fix"] == (
        "iptables -I DOCKER-USER -i br0 -o br0 -j ACCEPT; ip6tables -I FORWARD -i br0 -o br0 -j ACCEPT"
    )
