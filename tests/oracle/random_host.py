"""Random rules, switches and flags. Each table is loaded on its own; what nft refuses is counted and left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.oracle.asking import Probe
from tests.oracle.lab import GUESTS, HOST4, PORTS, SEGMENTS, TCP_PORTS
from tests.oracle.random_switches import FORGET, ebtables, iptables, policy_routes, port_flags, static_entries

LINKS = ("pa", "pb", "pc", "pd", "pe", "px", "py", "br0", "br1", "eth9")
BRIDGE = {guest.name: guest.bridge for guest in GUESTS}
HOOKS = {
    "ip": ("prerouting", "input", "forward", "output", "postrouting"),
    "ip6": ("prerouting", "input", "forward", "output", "postrouting"),
    "inet": ("prerouting", "input", "forward", "output", "postrouting"),
    "bridge": ("prerouting", "input", "forward", "output", "postrouting"),
    "netdev": ("ingress", "egress"),
}
REFUSED = 9  # a port at which nobody listens
PRIORITIES = (-300, -150, -50, -10, 0, 0, 0, 1, 10, 50, 150)


@dataclass
class RandomHost:
    """What a seed gives.

    ``links``, ``routes`` (with ``undo``) and ``fdb`` are lines of ip(8) and bridge(8), ``saves`` of iptables-restore;
    ``again`` are the numbers of tables that are loaded a second time. With ``searches`` nobody knows the others' MACs.
    """

    tables: list[str] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    fdb: list[str] = field(default_factory=list)
    saves: dict[str, str] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)
    searches: bool = False


class Generator:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.one = self.random.choice

    def host(self) -> RandomHost:
        host = RandomHost()
        pick = self.random
        host.sysctls = {
            "net/ipv4/ip_forward": self.one("0111"),
            "net/ipv6/conf/all/forwarding": self.one("0111"),
            "net/bridge/bridge-nf-call-iptables": self.one("01"),
            "net/bridge/bridge-nf-call-ip6tables": self.one("01"),
            "net/ipv4/conf/all/rp_filter": self.one("00012"),
        }
        for link, _ in SEGMENTS:
            host.sysctls[f"net/ipv4/conf/{link}/arp_ignore"] = self.one("0001")
            if pick.random() < 0.2:
                host.sysctls[f"net/ipv4/conf/{link}/forwarding"] = self.one("01")
            host.sysctls[f"net/ipv4/conf/{link}/rp_filter"] = self.one("00012")
        for bridge in ("br0", "br1"):
            own, own6 = self.one((0, 0, 0, 1)), self.one((0, 0, 0, 1))
            host.links.append(f"link set {bridge} type bridge nf_call_iptables {own} nf_call_ip6tables {own6}")
        knows = pick.random() < 0.85
        host.links += port_flags(pick, learns=knows)
        small = pick.random() < 0.25
        for guest in GUESTS:
            host.links.append(f"link set {guest.port} mtu {self.one((1500, 1500, 1400, 1304)) if small else 1500}")
        if not knows:
            host.fdb = [*FORGET, *static_entries(pick)]
        if pick.random() < 0.3:
            host.routes, host.undo = policy_routes(pick)
        if pick.random() < 0.2:
            host.saves[self.one(("iptables-nft", "iptables-legacy"))] = iptables(pick)
        if pick.random() < 0.2:
            host.saves["ebtables-nft"] = ebtables(pick)
        host.searches = knows and pick.random() < 0.12
        host.tables = [self.table(f"t{number}") for number in range(pick.randint(1, 4))]
        if pick.random() < 0.4:
            host.tables.append(self.nat_table())
        if pick.random() < 0.2:
            host.again = [pick.randrange(len(host.tables))]
        if host.searches and pick.random() < 0.7:
            host.tables.append(self.neighbour_table())
        host.probes = self.few_probes() if host.searches else self.probes()
        return host

    def probes(self) -> list[Probe]:
        names = [guest.name for guest in GUESTS]
        pairs = [(one, other) for one in names for other in names if one != other]
        found = [Probe(one, other, self.one(PORTS), 4) for one, other in pairs]
        found = self.random.sample(found, 28)
        found += [Probe(one, other, self.one(PORTS), 6) for one, other in self.random.sample(pairs, 16)]
        for name in names:
            found += [Probe("host", name, self.one(PORTS), self.one((4, 6)))]
            found += [Probe(name, "host", self.one(PORTS), self.one((4, 6)))]
            found += [Probe(name, "host", self.one(PORTS), 4, address=self.one(HOST4))]
        for one, other in self.random.sample(pairs, 8):
            found.append(Probe(one, other, self.one(TCP_PORTS), self.one((4, 4, 6)), kind="tcp"))
            found.append(Probe(other, one, 0, self.one((4, 6)), kind="icmp", size=84))
            found.append(Probe(one, "host", self.one(TCP_PORTS), 4, kind="tcp"))
        for one, other in self.random.sample(pairs, 4):
            found.append(Probe(one, other, REFUSED, self.one((4, 6)), kind="refused"))
            size = self.one((1300, 1390, 1402, 1404, 1405, 1500, 1501, 3000, 4000))
            found.append(
                Probe(one, other, self.one(PORTS), self.one((4, 4, 6)), size=size, whole=self.one((False, False, True)))
            )
            found.append(Probe(one, "host", self.one(PORTS), self.one((4, 6)), size=size))
        beside = [(one, other) for one, other in pairs if BRIDGE[one] and BRIDGE[one] == BRIDGE[other]]
        for one, other in self.random.sample(beside, 3):
            found.append(Probe(one, other, self.one(PORTS), vlan=0))
        for _ in range(4):
            one, other = self.one(pairs)
            source = self.one(("172.16.3.4", "10.9.0.77", "10.9.1.1", "192.0.2.7", "10.9.2.16"))
            found.append(Probe(one, other, self.one(PORTS), 4, spoofed=source))
        return found

    def few_probes(self) -> list[Probe]:
        """Of hosts on which everybody must search: each is asked alone."""
        names = [guest.name for guest in GUESTS]
        pairs = [(one, other) for one in (*names, "host") for other in (*names, "host") if one != other]
        return [Probe(one, other, self.one(PORTS), self.one((4, 6))) for one, other in self.random.sample(pairs, 8)]

    # ---- tables

    def neighbour_table(self) -> str:
        """Rules about the search for neighbours."""
        family = self.one(("bridge", "bridge", "arp", "inet"))
        self.family = family
        guest = self.one(GUESTS)
        tests = {
            "bridge": (
                "ether type arp",
                "arp operation request",
                f"arp saddr ip {guest.v4}",
                f"arp daddr ip {guest.v4}",
                "arp operation reply",
                "icmpv6 type nd-neighbor-solicit",
                "icmpv6 type nd-neighbor-advert",
                f"ether saddr {guest.mac} ether type arp",
                "ether daddr ff:ff:ff:ff:ff:ff",
            ),
            "arp": ("arp operation request", f"arp saddr ip {guest.v4}", "arp operation reply", 'iifname "br0"'),
            "inet": ("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }", "icmpv6 type nd-neighbor-advert"),
        }[family]
        hooks = {"arp": ("input", "output"), "inet": ("input", "output", "forward", "prerouting")}
        hook = self.one(hooks.get(family, HOOKS["bridge"]))
        rules = [f"{self.one(tests)} {self.one(('drop', 'drop', 'accept'))}" for _ in range(2)]
        policy = "drop" if self.random.random() < 0.15 else "accept"
        head = f"type filter hook {hook} priority {self.one(('0', '-200', '10'))}\npolicy {policy}\n"
        return f"table {family} search {{\nchain c {{\n{head}" + "".join(f"{rule}\n" for rule in rules) + "}\n}\n"

    def table(self, name: str) -> str:
        family = self.one(("ip", "ip", "inet", "inet", "bridge", "bridge", "netdev", "ip6"))
        self.family = family
        hooks = [self.one(HOOKS[family]) for _ in range(self.random.randint(1, 3))]
        self.hooks = set(hooks)
        self.side: list[str] = []
        body: list[str] = []
        sets = self.sets()
        for number in range(self.random.randint(0, 2)):
            self.side.append(f"side{number}")
        for number, side in enumerate(self.side):  # a later chain may be jumped to from an earlier one only
            targets = self.side[number + 1 :]
            body.append(self.chain(side, "", targets))
        for number, hook in enumerate(hooks):
            priority = self.one(PRIORITIES)
            device = f' device "{self.one(LINKS[:-1])}"' if family == "netdev" else ""
            policy = "drop" if self.random.random() < 0.12 else "accept"
            head = f"type filter hook {hook}{device} priority {priority}\npolicy {policy}\n"
            body.append(self.chain(f"base{number}", head, self.side))
        return f"table {family} {name} {{\n{sets}{''.join(body)}}}\n"

    def sets(self) -> str:
        if self.family in {"netdev"} or self.random.random() < 0.5:
            self.named: dict[str, str] = {}
            return ""
        self.named = {"addresses": "ipv4_addr", "ports": "inet_service", "pairs": "ipv4_addr . inet_service"}
        addresses = ", ".join(self.random.sample([guest.v4 for guest in GUESTS], 2))
        ports = ", ".join(map(str, self.random.sample(PORTS, 2)))
        pairs = ", ".join(f"{self.one(GUESTS).v4} . {port}" for port in PORTS)
        return (
            f"set addresses {{\ntype ipv4_addr\nelements = {{ {addresses} }}\n}}\n"
            f"set ports {{\ntype inet_service\nelements = {{ {ports} }}\n}}\n"
            f"set pairs {{\ntype ipv4_addr . inet_service\nelements = {{ {pairs} }}\n}}\n"
        )

    def chain(self, name: str, head: str, targets: list[str]) -> str:
        rules = [self.rule(targets) for _ in range(self.random.randint(0, 5))]
        return f"chain {name} {{\n{head}" + "".join(f"{rule}\n" for rule in rules) + "}\n"

    def rule(self, targets: list[str]) -> str:
        tests = [self.test() for _ in range(self.random.choice((0, 1, 1, 1, 2, 2)))]
        if any("nfproto" in test for test in tests):
            tests = [test for test in tests if not test.startswith(("ip ", "ip6 "))]
        if _contradict(tests):  # which nft refuses
            tests = tests[:1]
        verdict = self.verdict(targets)
        if _contradict([*tests, verdict]):
            tests = []
        return " ".join([*filter(None, tests), verdict])

    def verdict(self, targets: list[str]) -> str:
        words = [
            "accept",
            "accept",
            "drop",
            "drop",
            "return",
            "continue",
            "counter",
            f"meta mark set {self.one('123')}",
        ]
        if targets:
            words += [f"jump {self.one(targets)}", f"goto {self.one(targets)}", self.vmap(targets)]
        if self.family in {"ip", "inet", "ip6"}:
            rare = ["ct mark set 5", "notrack"] + ([] if "postrouting" in self.hooks else ["reject"])
            words += rare if self.random.random() < 0.2 else []
        return self.one(words)

    def vmap(self, targets: list[str]) -> str:
        key = self.one(("udp dport", "ip daddr", "iifname"))
        if key == "udp dport":
            return (
                f"udp dport vmap {{ 53 : jump {self.one(targets)}, 80-443 : {self.one(('drop', 'accept', 'return'))} }}"
            )
        if key == "ip daddr":
            if self.family == "ip6":
                return "counter"
            guest = self.one([guest for guest in GUESTS if guest.bridge != "br1"])
            return f"ip daddr vmap {{ {guest.v4} : goto {self.one(targets)}, 10.9.1.0/24 : accept }}"
        return f'iifname vmap {{ "{self.one(LINKS)}" : jump {self.one(targets)} }}'

    def test(self) -> str:
        makers = [self.links, self.addresses, self.addresses, self.ports, self.ports, self.marks, self.protocol]
        if self.family in {"ip", "inet", "ip6"}:
            makers += [self.state, self.fib]
        else:
            makers += [self.ether]
        if self.named:
            makers.append(self.lookup)
        return self.one(makers)()

    def links(self) -> str:
        key = self.one(("iifname", "oifname"))
        if self.family == "netdev":
            key = "iifname"
        sign = self.one(("", "", "!= "))
        if self.random.random() < 0.2:
            return f'{key} {sign}"{self.one(("p*", "br*"))}"'
        if self.random.random() < 0.3:
            two = self.random.sample(LINKS, 2)
            return f'{key} {sign}{{ "{two[0]}", "{two[1]}" }}'
        return f'{key} {sign}"{self.one(LINKS)}"'

    def addresses(self) -> str:
        side, sign = self.one(("saddr", "daddr")), self.one(("", "", "!= "))
        six = self.family == "ip6" or (self.family != "ip" and self.random.random() < 0.3)
        guest = self.one(GUESTS)
        if six:
            other = 3 if guest.v6.startswith("fd09:0:0:2:") else 2
            two = f"{{ {guest.v6}, fd09:0:0:{other}::/64 }}"
            return f"ip6 {side} {sign}" + self.one((guest.v6, "fd09:0:0:1::/64", two))
        value = self.one(
            (
                guest.v4,
                self.one(HOST4),
                "10.9.0.0/24",
                "10.9.0.0/28",
                "10.9.0.11-10.9.1.14",
                f"{{ {guest.v4}, 10.9.{0 if guest.v4.startswith('10.9.1.') else 1}.0/24 }}",
                "172.16.0.0/12",
            )
        )
        return f"ip {side} {sign}{value}"

    def ports(self) -> str:
        value = self.one(("53", "80", "443", "50-100", "{ 53, 443 }", "!= 80", "!= { 53, 80 }", "> 79", "< 80"))
        return self.one(
            (f"udp dport {value}", f"udp sport {self.one(('53', '80', '1000-65535'))}", f"th dport {value}")
        )

    def marks(self) -> str:
        return self.one(("meta mark 1", "meta mark != 2", "meta mark and 0x1 == 1", "meta mark { 1, 3 }"))

    def protocol(self) -> str:
        words = ["meta l4proto udp", "meta l4proto { tcp, icmp }", "meta l4proto != tcp", "tcp dport 80"]
        if self.family == "inet":
            words += [
                "meta nfproto ipv4",
                "meta nfproto ipv6",
            ]  # alone: of two that contradict each other nft shows one
        if self.family == "bridge":
            words += ["ether type ip", "ether type ip6", "ether type != arp", "meta protocol ip"]
        return self.one(words)

    def state(self) -> str:
        return self.one(
            ("ct state new", "ct state established", "ct state established,related", "ct state != new",
             "ct state { new, established }", "ct mark 5", "ct status dnat", "ct direction reply", "ct state invalid",
             "ct state vmap { established : accept, invalid : drop }")
        )  # fmt: skip

    def fib(self) -> str:
        words = ["fib daddr type local", "fib saddr type != local", "fib daddr type { unicast, broadcast }"]
        if not self.hooks & {"output", "postrouting"}:  # where nft has no link that it came in by
            words += ["fib saddr . iif oif missing", "fib saddr oif exists", "fib daddr . iif type local"]
        return self.one(words)

    def ether(self) -> str:
        guest = self.one(GUESTS)
        return self.one((f"ether saddr {guest.mac}", f"ether daddr {guest.mac}", f"ether saddr != {guest.mac}"))

    def lookup(self) -> str:
        words = [f"udp dport {self.one(('', '!= '))}@ports"]
        if self.family != "ip6":
            words += [f"ip saddr {self.one(('', '!= '))}@addresses", "ip daddr . udp dport @pairs"]
        return self.one(words)

    def nat_table(self) -> str:
        self.family = self.one(("ip", "inet"))
        self.hooks, self.named = set(), {}
        chains = []
        for number in range(self.random.randint(1, 3)):
            hook = self.one(("prerouting", "prerouting", "postrouting", "postrouting", "output"))
            priority = self.one((-100, -150, -50, 100, 0))
            rules = [self.nat_rule(hook) for _ in range(self.random.randint(1, 3))]
            head = f"type nat hook {hook} priority {priority}\npolicy accept\n"
            chains.append(f"chain n{number} {{\n{head}" + "".join(f"{rule}\n" for rule in rules) + "}\n")
        return f"table {self.family} nat0 {{\n{''.join(chains)}}}\n"

    def nat_rule(self, hook: str) -> str:
        ip = "ip " if self.family == "inet" else ""
        tests = ["meta nfproto ipv4"] if self.family == "inet" else []
        tests += [self.one((self.links, self.v4, self.ports))() for _ in range(self.random.randint(0, 2))]
        if hook == "postrouting":
            act = self.one(("masquerade", f"snat {ip}to 10.9.0.1", f"snat {ip}to 10.9.2.1"))
        else:
            guest = self.one(GUESTS)
            act = self.one(
                (f"dnat {ip}to {guest.v4}", f"udp dport 80 dnat {ip}to {guest.v4}:443", "udp dport 53 redirect to :80")
            )
        return " ".join([*tests, act])

    def v4(self) -> str:
        side, sign = self.one(("saddr", "daddr")), self.one(("", "", "!= "))
        return f"ip {side} {sign}{self.one((self.one(GUESTS).v4, '10.9.0.0/24', '10.9.2.0/24'))}"


def _contradict(tests: list[str]) -> bool:
    """Whether no packet can meet all of them, by their protocols."""
    words = " ".join(tests)
    four = any(word.startswith("ip ") for word in tests) or "ether type ip " in f"{words} " or "protocol ip" in words
    six = any(word.startswith("ip6 ") for word in tests) or "ether type ip6" in words
    above = {name for name in ("tcp", "udp") if f"{name} dport" in words or f"{name} sport" in words}
    above |= {"udp"} if "l4proto udp" in words else {"tcp, icmp"} if "{ tcp, icmp }" in words else set()
    return (four and six) or len(above) > 1
