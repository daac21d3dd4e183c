"""Words of nft, each in a rule of its own, with what the kernel does to questions."""

from __future__ import annotations

from tests.oracle.test_traps import base, side, table


def inet(*chains: str) -> str:
    return table("inet", "t", *chains)


def forward(*rules: str) -> str:
    return inet(base("c", "forward", 0, *rules))


CASES: dict[str, tuple[str, str]] = {
    "timeout sets": (
        inet(
            "set s {\ntype ipv4_addr . inet_service\nflags timeout\nelements = { 10.9.0.11 . 80 timeout 1h }\n}\n",
            base("c", "forward", 0, "ip saddr . udp dport @s drop"),
        ),
        "a>d udp/80: lost, a>d udp/53: answered, b>d udp/80: answered",
    ),
    "dynamic set": (
        inet(
            "set s {\ntype ipv4_addr\nflags dynamic,timeout\ntimeout 1m\n}\n",
            base("c", "forward", 0, "ip saddr @s drop", "update @s { ip saddr }"),
        ),
        "a>d udp/80: answered?",
    ),
    "wild": (
        forward('iifname "br*" oifname "p*" drop'),
        "a>x udp/80: lost, a>d udp/80: answered, y>x udp/80: answered",
    ),
    "wildset": (
        forward('iifname { "br*", "py" } udp dport 80 drop'),
        "a>x udp/80: lost, y>x udp/80: lost, x>y udp/80: answered",
    ),
    "wild neg": (forward('iifname != "br*" drop'), "a>x udp/80: arrives, x>y udp/80: lost"),
    "concat interval vmap": (
        forward("ip saddr . udp dport vmap { 10.9.0.0/24 . 50-60 : drop, 10.9.2.16 . 80 : accept }"),
        "a>d udp/53: lost, a>d udp/80: answered, x>d udp/80: answered",
    ),
    "ct vmap order": (
        forward(
            "ct state vmap { invalid : drop, established : accept, related : accept }", "udp dport 80 accept", "drop"
        ),
        "a>d udp/80: answered, a>d udp/53: lost",
    ),
    "invalid in raw": (inet(base("c", "prerouting", -300, "ct state invalid drop")), "a>d udp/80: lost"),
    "rpfilter": (
        inet(base("c", "prerouting", -300, "fib saddr . iif oif missing drop")),
        "a>d udp/80: answered, a>d udp/80 as 10.9.2.99: lost, a>d udp/80 IPv6: answered",
    ),
    "rpfilter mark": (
        inet(base("c", "prerouting", -300, "fib saddr . mark . iif oif 0 drop")),
        "a>d udp/80: answered, a>d udp/80 as 10.9.2.99: lost",
    ),
    "strict host": (
        inet(base("c", "prerouting", -150, "fib daddr . iif type != { local, broadcast, multicast } drop")),
        "a>10.9.0.1 udp/80: answered, a>10.9.2.1 udp/80: lost, a>d udp/80: lost",
    ),
    "nixos rpfilter": (
        inet(
            side("allow"),
            base(
                "c",
                "prerouting",
                -140,
                "meta nfproto ipv4 udp sport . udp dport { 68 . 67, 67 . 68 } accept",
                "fib saddr . mark . iif oif exists accept",
                "jump allow",
                "drop",
            ),
        ),
        "a>d udp/80: answered, a>d udp/80 as 10.9.2.99: lost, a>d udp/80 IPv6: answered",
    ),
    "skuid": (
        inet(base("c", "output", 0, "meta skuid 0 udp dport 80 drop")),
        "host>d udp/80: lost?, host>d udp/53: answered",
    ),
    "ct zone": (
        inet(
            base("z", "prerouting", -300, 'iifname "br0" ct zone set 5'),
            base("c", "forward", 0, "ct state established accept", "ip saddr 10.9.0.0/24 accept", "drop"),
        ),
        "a>d udp/80: arrives",
    ),
    "ct zone orig": (
        inet(
            base("z", "prerouting", -300, 'iifname "br0" ct original zone set 5'),
            base("c", "forward", 0, "ct state established accept", "ip saddr 10.9.0.0/24 accept", "drop"),
        ),
        "a>d udp/80: answered?",
    ),
    "stateless nat": (
        inet(base("z", "prerouting", -300, "ip daddr 10.9.1.15 ip daddr set 10.9.1.14")),
        "a>e udp/80: answered",
    ),
    "dnat map": (
        table(
            "ip",
            "t",
            base("z", "prerouting", -100, "dnat to udp dport map { 80 : 10.9.1.14, 53 : 10.9.1.15 }", kind="nat"),
        ),
        "a>10.9.0.1 udp/80: answered, a>10.9.0.1 udp/53: answered, a>10.9.0.1 udp/443: answered",
    ),
    "dnat map port": (
        table("ip", "t", base("z", "prerouting", -100, "dnat ip to udp dport map { 80 : 10.9.1.14 . 53 }", kind="nat")),
        "a>10.9.0.1 udp/80: answered, a>10.9.0.1 udp/53: answered",
    ),
    "netmap": (
        table(
            "ip",
            "t",
            base("z", "postrouting", 100, "snat ip prefix to ip saddr map { 10.9.0.0/24 : 10.9.3.0/24 }", kind="nat"),
        ),
        "a>x udp/80: answered?, d>x udp/80: answered?",
    ),
    "redirect": (
        table("ip", "t", base("z", "prerouting", -100, "udp dport 80 redirect to :53", kind="nat")),
        "a>d udp/80: answered, a>10.9.0.1 udp/80: answered",
    ),
    "numgen dnat": (
        table(
            "ip",
            "t",
            base("z", "prerouting", -100, "dnat to numgen inc mod 2 map { 0 : 10.9.1.14, 1 : 10.9.1.15 }", kind="nat"),
        ),
        "a>10.9.0.1 udp/80: answered?",
    ),
    "jhash": (
        forward("jhash ip saddr mod 2 vmap { 0 : accept, 1 : drop }"),
        "a>d udp/80: chance?, b>d udp/80: chance?, c>d udp/80: chance?",
    ),
    "bitmask": (forward("ip saddr & 0.0.0.255 == 0.0.0.11 drop"), "a>d udp/80: lost, b>d udp/80: answered"),
    "negset": (
        forward("ip saddr != { 10.9.0.11, 10.9.1.0/24, 10.9.2.0/24 } drop"),
        "a>d udp/80: answered, b>d udp/80: lost",
    ),
    "ct orig": (
        table(
            "ip",
            "t",
            base("z", "prerouting", -100, "udp dport 80 dnat to 10.9.1.14:53", kind="nat"),
            base(
                "c",
                "forward",
                0,
                "ct original ip daddr 10.9.0.1 meta l4proto udp ct original proto-dst 80 accept",
                "ct direction reply accept",
                "drop",
            ),
        ),
        "a>10.9.0.1 udp/80: answered, a>d udp/53: lost, b>x udp/80: lost",
    ),
    "dup": (
        table("ip", "t", base("c", "prerouting", -150, 'udp dport 80 dup to 10.9.2.16 device "px"')),
        "a>d udp/80: answered",
    ),
    "fwd": (
        table(
            "netdev", "t", 'chain c {\ntype filter hook ingress device "pa" priority 0\nudp dport 80 fwd to "py"\n}\n'
        ),
        "a>d udp/80: lost?, a>d udp/53: answered",
    ),
    "notrack+stateful": (
        inet(
            base("r", "prerouting", -300, "udp dport 53 notrack", "udp sport 53 notrack"),
            base("c", "forward", 0, "ct state established,related accept", "ct state untracked accept", "drop"),
        ),
        "a>d udp/53: answered, a>d udp/80: lost",
    ),
    "tcpflags": (
        forward("tcp flags & (fin|syn|rst|ack) == syn tcp dport 80 accept", "ct state established accept", "drop"),
        "a>d tcp/80: answered, a>d tcp/443: lost",
    ),
    "tcp new not syn": (forward("tcp flags != syn ct state new drop"), "a>d tcp/80: answered"),
    "icmp type set": (
        forward("ip protocol icmp icmp type { echo-request } accept", "ct state established accept", "drop"),
        "a>d icmp/0: answered, a>d udp/80: lost",
    ),
    "pkttype": (
        inet(base("c", "prerouting", -150, "meta pkttype != host drop")),
        "a>d udp/80: answered, a>b udp/80: answered",
    ),
    "limit": (forward("limit rate over 1000/second drop"), "a>d udp/80: answered?"),
    "quota": (forward("quota over 1 mbytes drop"), "a>d udp/80: answered?"),
    "limit on nat": (
        table(
            "ip",
            "t",
            base(
                "z",
                "prerouting",
                -100,
                "ip daddr 10.9.1.0/24 dnat to jhash ip saddr mod 2 map { 0 : 10.9.1.14, 1 : 10.9.1.15 }",
                kind="nat",
            ),
        ),
        "a>d udp/80: answered?, b>e udp/80: answered?",
    ),
    "zone both": (
        inet(
            base("z", "prerouting", -300, 'iifname { "br0", "br1" } ct zone set 5'),
            base("c", "forward", 0, "ct state established accept", "ip saddr 10.9.0.0/24 accept", "drop"),
        ),
        "a>d udp/80: answered",
    ),
    "zone late": (
        inet(
            base("z", "prerouting", -150, 'iifname "br0" ct zone set 5'),
            base("c", "forward", 0, "ct state established accept", "ip saddr 10.9.0.0/24 accept", "drop"),
        ),
        "a>d udp/80: answered",
    ),
    "tcp window": (forward("tcp window > 0 drop"), "a>d tcp/80: lost?"),
    "tcp seq udp": (forward("tcp sequence 5 drop"), "a>d udp/80: answered"),
    "icmp id": (forward("icmp id 7 drop"), "a>d icmp/0: answered?"),
    "udp checksum": (forward("udp checksum 0 drop"), "a>d udp/80: answered?"),
    "br pkt ct": (
        table("bridge", "t", base("c", "forward", -200, "ether type ip ip protocol udp udp dport 80 drop")),
        "a>b udp/80: lost, a>b udp/53: answered, a>d udp/80: answered",
    ),
    "br_nf physdev": (
        inet(base("c", "forward", 0, 'iifname "br0" oifname "br0" drop')),
        "a>b udp/80: answered, a>d udp/80: answered",
    ),
    "mark ct restore": (
        inet(
            base("m", "prerouting", -150, "meta mark set ct mark"),
            base("c", "forward", 0, "udp dport 80 meta mark set 7 ct mark set mark", "meta mark 7 accept", "drop"),
        ),
        "a>d udp/80: answered, a>d udp/53: lost",
    ),
    "reply mark": (
        inet(base("m", "prerouting", -150, "ct mark 7 drop"), base("c", "forward", 0, "udp dport 80 ct mark set 7")),
        "a>d udp/80: arrives, a>d udp/53: answered",
    ),
    "ttl": (forward("ip ttl < 2 drop", "ip ttl 63 udp dport 80 drop"), "a>d udp/80: lost?, a>d udp/53: answered?"),
    "length": (
        forward("meta length > 100 drop", "udp length 12 drop"),
        "a>d udp/80: lost, a>d udp/80 of 200: lost, a>d udp/80 of 60: answered",
    ),
    "vmap iif jump": (
        inet(
            side("A", "udp dport 80 drop"),
            side("B", "accept"),
            base("c", "forward", 0, 'iifname vmap { "br0" : jump A, "px" : goto B }', "udp dport 53 drop"),
        ),
        "a>d udp/80: lost, a>d udp/53: lost, x>d udp/53: answered, y>d udp/53: lost",
    ),
    "inet nfproto": (
        inet(base("c", "forward", 0, "meta nfproto ipv4 accept", "drop")),
        "a>d udp/80: answered, a>d udp/80 IPv6: lost",
    ),
    "rt nexthop": (forward("rt ip nexthop 10.9.1.14 drop"), "a>d udp/80: lost?, a>e udp/80: answered?"),
    "socket": (
        inet(base("c", "prerouting", -150, "socket transparent 1 drop")),
        "a>d udp/80: answered?, a>10.9.0.1 udp/80: answered?",
    ),
    "ether in ip": (forward("ether saddr 02:00:00:00:00:11 drop"), "a>d udp/80: lost, b>d udp/80: answered"),
    "ct helper/ct timeout": (
        inet(
            "ct timeout ct1 {\nprotocol udp;\nl3proto ip;\npolicy = { unreplied : 10, replied : 20 }\n}\n",
            base("c", "prerouting", -150, 'ct timeout set "ct1"'),
        ),
        "a>d udp/80: answered",
    ),
    "counter/log/comment": (
        forward('udp dport 80 counter log prefix "x" drop comment "hello"'),
        "a>d udp/80: lost, a>d udp/53: answered",
    ),
    "secmark/day/hour": (
        forward(
            'meta day { "Monday","Tuesday","Wednesday","Thursday","Friday","Saturday","Sunday" } udp dport 80 drop'
        ),
        "a>d udp/80: lost?",
    ),
    "exthdr": (
        forward("ip6 nexthdr udp udp dport 80 drop", "exthdr frag exists drop", "frag nexthdr { ah, esp, udp } drop"),
        "a>d udp/80 IPv6: lost, a>d udp/53 IPv6: answered, a>d udp/53 IPv6 of 4000: lost?",
    ),
    "a doubt behind what loses it": (
        inet(
            base("p", "prerouting", 0, "icmp type echo-request drop"),
            base("c", "forward", 0, "th dport > 79 meta mark set 1"),
        ),
        "a>d icmp/0: lost, a>d udp/80: answered",
    ),
    "names of what an echo has not": (
        forward(
            "igmp type { membership-query, leave-group } drop",
            "icmp code frag-needed drop",
            "icmpv6 code policy-fail drop",
            "mh type binding-update drop",
        ),
        "a>d udp/80: answered, a>d icmp/0: answered, a>d udp/53 IPv6: answered, a>d icmp/0 IPv6: answered",
    ),
    "frag off": (forward("ip frag-off & 0x1fff != 0 drop"), "a>d udp/80: answered?, a>d udp/80 of 4000: lost?"),
    "@th raw": (forward("@th,16,16 80 drop"), "a>d udp/80: lost, a>d udp/53: answered"),
    "@nh raw": (forward("@nh,96,32 0x0a09000b drop"), "a>d udp/80: lost, b>d udp/80: answered"),
}
