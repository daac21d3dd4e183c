"""Rules as Docker, Podman, firewalld and kube-proxy write them, with what the kernel does to questions."""

from __future__ import annotations

from tests.oracle.test_traps import base, side, table

DOCKER = table(
    "ip",
    "docker-bridges",
    'map mf {\ntype ifname : verdict\nelements = { "br1" : jump in1 }\n}\n',
    side(
        "in1",
        "ct state established,related counter accept",
        'iifname "br1" accept',
        "ct status dnat counter accept",
        "counter drop",
    ),
    base("rawp", "prerouting", -300, 'ip daddr 10.9.1.14 iifname != "br1" counter drop'),
    base("fwdc", "forward", 0, "oifname vmap @mf", 'iifname "br1" accept'),
    side("natpo", "udp dport 53 counter dnat to 10.9.1.14:80"),
    base("natp", "prerouting", -100, "fib daddr type local counter jump natpo", kind="nat"),
    base("nato", "output", -100, "ip daddr != 127.0.0.0/8 fib daddr type local counter jump natpo", kind="nat"),
    base(
        "post",
        "postrouting",
        100,
        'oifname != "br1" ip saddr 10.9.1.0/24 counter masquerade',
        'fib saddr type local oifname "br1" ip daddr 10.9.1.14 masquerade',
        kind="nat",
    ),
)

NETAVARK = table(
    "inet",
    "netavark",
    side("iso", 'oifname "br1" iifname != "br1" return'),
    base("input", "input", 0, "ip saddr 10.9.1.0/24 meta l4proto { tcp, udp } th dport 53 accept"),
    base(
        "forward",
        "forward",
        0,
        "ct state invalid drop",
        "jump iso",
        "ip daddr 10.9.1.0/24 ct state { established, related } accept",
        "ip saddr 10.9.1.0/24 accept",
    ),
    side("setmark", "meta mark set mark or 0x00002000"),
    side(
        "dn",
        "ip saddr 10.9.1.0/24 udp dport 53 jump setmark",
        "ip saddr 127.0.0.1 udp dport 53 jump setmark",
        "udp dport 53 dnat ip to 10.9.1.14:80",
    ),
    base("pre", "prerouting", -100, "fib daddr type local jump dn", kind="nat"),
    base("out", "output", -100, "fib daddr type local jump dn", kind="nat"),
    base(
        "post",
        "postrouting",
        100,
        "meta mark and 0x00002000 == 0x00002000 masquerade",
        "ip saddr 10.9.1.0/24 ip daddr 10.9.1.0/24 accept",
        "ip saddr 10.9.1.0/24 ip daddr != 224.0.0.0/4 masquerade",
        kind="nat",
    ),
)

FIREWALLD = table(
    "inet",
    "firewalld",
    "set block {\ntype ipv4_addr\nflags interval, timeout\n"
    "elements = { 10.9.0.11 timeout 1h, 10.9.0.128/25 timeout 1h }\n}\n",
    base(
        "pre",
        "prerouting",
        10,
        "icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept",
        "meta nfproto ipv6 fib saddr . mark . iif oif missing drop",
    ),
    base(
        "fwdc",
        "forward",
        10,
        "ct state { established, related } accept",
        "ct status dnat accept",
        'iifname "lo" accept',
        "ct state { invalid } drop",
        "ip saddr @block drop",
        'iifname . oifname vmap { "br0" . "br1" : goto pol, "px" . "br1" : goto polx }',
        "drop",
    ),
    side("pol", "jump pre_", "jump deny", "udp dport 53 ct state { new, untracked } accept", "drop"),
    side("pre_"),
    side("deny", "ip saddr 10.9.0.12 udp dport 443 drop"),
    side("polx", "ip saddr 10.9.2.0/24 accept"),
)

KUBE_PROXY = table(
    "ip",
    "kube-proxy",
    "map ips {\ntype ipv4_addr . inet_proto . inet_service : verdict\n"
    "elements = { 10.96.0.10 . udp . 53 : goto svc, "
    "10.96.0.11 . udp . 53 : goto svc2 }\n}\n",
    "map none {\ntype ipv4_addr . inet_proto . inet_service : verdict\n"
    "elements = { 10.96.0.12 . udp . 80 : drop }\n}\n",
    "set cips {\ntype ipv4_addr\nelements = { 10.96.0.10, 10.96.0.11, 10.96.0.12 }\n}\n",
    "set hair {\ntype ipv4_addr . ipv4_addr . inet_proto . inet_service\n"
    "elements = { 10.9.1.14 . 10.9.1.14 . udp . 80 }\n}\n",
    side("ep", "ip saddr 10.9.1.14 jump markmq", "meta l4proto udp dnat to 10.9.1.14:80"),
    side("ep2", "meta l4proto udp dnat to 10.9.1.15:80"),
    side(
        "svc",
        "ip daddr 10.96.0.10 udp dport 53 ip saddr != 10.9.0.0/24 jump markmq",
        "numgen random mod 1 vmap { 0 : goto ep }",
    ),
    side("svc2", "numgen random mod 2 vmap { 0 : goto ep, 1 : goto ep2 }"),
    side("markmq", "meta mark set mark or 0x4000"),
    side("services", "ip daddr . meta l4proto . th dport vmap @ips"),
    side("cipc", "ip daddr @cips ct state new drop"),
    base("pre", "prerouting", -100, "jump services", kind="nat"),
    base("natout", "output", -100, "jump services", kind="nat"),
    base("fpre", "prerouting", -110, "ct state new ip daddr . meta l4proto . th dport vmap @none"),
    base("fwdc", "forward", -110, "ct state new jump cipc"),
    base(
        "post",
        "postrouting",
        100,
        "ip saddr . ip daddr . meta l4proto . th dport @hair masquerade",
        "meta mark and 0x4000 == 0 return",
        "meta mark set mark xor 0x4000",
        "masquerade fully-random",
        kind="nat",
    ),
)

CASES: dict[str, tuple[str, str]] = {
    "docker direct access": (
        DOCKER,
        (
            "x>d udp/80: lost, a>d udp/80: lost, host>d udp/80: answered, e>d udp/80: answered, "
            "x>e udp/80: lost, d>x udp/80: answered"
        ),
    ),
    "docker published": (
        DOCKER,
        (
            "x>10.9.2.1 udp/53: answered, a>10.9.0.1 udp/53: answered, a>10.9.2.1 udp/53: answered, "
            "d>10.9.1.1 udp/53: lost, e>10.9.1.1 udp/53: answered, x>10.9.2.1 udp/80: answered"
        ),
    ),
    "netavark": (
        NETAVARK,
        (
            "x>10.9.2.1 udp/53: answered, d>10.9.1.1 udp/53: answered, x>d udp/80: answered, "
            "d>x udp/80: answered, e>d udp/80: answered, host>d udp/80: answered"
        ),
    ),
    "firewalld": (
        FIREWALLD,
        (
            "a>d udp/53: lost, b>d udp/53: answered, b>d udp/443: lost, b>d udp/80: lost, x>d udp/80: answered, "
            "d>x udp/80: lost, b>x udp/80: lost, b>d udp/53 IPv6: answered, x>d udp/80 IPv6: answered"
        ),
    ),
    "firewalld spoof6": (FIREWALLD, "a>host udp/80 IPv6: answered"),
    "kube": (
        KUBE_PROXY,
        (
            "a>10.96.0.10 udp/53: answered, x>10.96.0.10 udp/53: answered, a>10.96.0.11 udp/53: answered?, "
            "a>10.96.0.10 udp/80: lost, a>10.96.0.12 udp/80: lost, d>10.96.0.10 udp/53: answered, "
            "e>10.96.0.10 udp/53: answered, host>10.96.0.10 udp/53: lost"
        ),
    ),
}
