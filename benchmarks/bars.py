"""What the project promises about speed, each with the line of a benchmark that shows it.

The page lists every promise, also those whose benchmark could not run: what is not measured is not kept.
"""

from __future__ import annotations

from msgspec import Struct


class Bar(Struct, frozen=True):
    """A promise in words, and how the names of the rows begin that decide it."""

    about: str
    promise: str
    module: str
    row: str


BARS = (
    Bar(
        "rehearsal",
        "production scenario within 10 times its interpreter",
        "rehearse",
        "rehearse examples/production.yaml",
    ),
    Bar("rehearsal", "a twin of 200 guests up as soon as with `ip netns`", "twin", "twin of 200 guests"),
    Bar("rehearsal", "and gone as soon", "twin", "the same, gone"),
    Bar("rehearsal", "at least 6 times faster than Mininet", "twin", "the same, whole program, against Mininet"),
    Bar("rehearsal", "a pair asked at least 30 times faster than by `ping -c 1`", "questions", "one pair by ARP"),
    Bar(
        "model",
        "all pairs of 1,000 guests by 5 services as soon as nft lists 10,000 rules",
        "reachability",
        "all pairs by 5 services of 1,000",
    ),
    Bar("model", "`why` within 2 times its readers and its interpreter", "reachability", "bascule why on 300 rules"),
    Bar("command line", "--help within 2 times `import click`", "startup", "bascule --help"),
    Bar("apply", "200 bridges within 2 times the bare batch and the interpreter", "apply", "apply 200 bridges"),
    Bar("apply", "at least 15 times faster than ifupdown2", "apply", "ifup -a of ifupdown2"),
    Bar(
        "apply",
        "no change of 200 bridges: 2 times interpreter and readers",
        "apply",
        "a plan with nothing to do, 200",
    ),
    Bar(
        "apply",
        "1,000 bridges: 4 times interpreter and readers",
        "apply",
        "a plan with nothing to do, 1,000",
    ),
    Bar("apply", "and at most 250 MB", "apply", "its memory"),
    Bar("apply", "undo within 1.5 times `ip link del group` alone", "apply", "undo by `ip link del group`"),
    Bar("apply", "every port is back before an apply would be done", "apply", "undo until every port is back"),
    Bar("apply", "at most one ping lost while the own address moves", "apply", "pings lost"),
    *(
        Bar("configuration files", f"{name}: 1,000 bridges within 2 times configparser", "persist", f"{name}:")
        for name in ("ifcfg", "keyfile", "networkd", "netplan", "ifupdown")
    ),
    Bar(
        "configuration files",
        "such a host imported within 2 times its floor",
        "persist",
        "import of that host",
    ),
    Bar("configuration files", "small ones imported within 2 times the interpreter", "persist", "small configurations"),
    *(
        Bar(
            "configuration files",
            f"100,000 lines of {name} within {8 if name == 'ifupdown' else 3} times configparser",
            "persist",
            f"100,000 lines in one file of {name}",
        )
        for name in ("ifcfg", "keyfile", "networkd", "netplan", "ifupdown", "wicked")
    ),
    Bar("guests", "re-plug loses at most 3 frames of a ping at 5 ms", "guests", "re-plug of a running guest"),
    Bar("guests", "guest list of 200 domains within 3 times interpreter and virsh", "guests", "guest list"),
    Bar(
        "guests",
        "production with three QEMU guests within 8 bare boots",
        "real_guests",
        "rehearse --guests qemu",
    ),
    Bar("survey", "100,000 control frames judged within 6 times tcpdump -vv", "survey", "judge 100,000"),
    Bar("survey", "a forged ARP storm of 400,000 frames within 10 times tcpdump -vv", "survey", "judge a forged"),
    Bar("survey", "under 5 % of a core beside 1 Gbit/s", "survey", "CPU of a survey"),
    Bar("survey", "no control frame missed that tcpdump hears", "survey", "control frames heard"),
    Bar("picture", "layout and SVG of 1,000 guests within 1.5 times dot", "drawing", "layout and SVG of 1,000"),
    Bar("picture", "a served page of 200 ports under 5 % of a core", "serve", "bascule serve, 200 ports"),
    Bar("Open vSwitch", "200 switches within 2 times one bare ovs-vsctl and the interpreter", "switches", "apply 200"),
    Bar("Open vSwitch", "a guest loses at most 3 frames more than in a bare move", "switches", "a bridge becomes"),
    Bar("Open vSwitch", "and no more on the way back", "switches", "a switch becomes"),
    Bar("Open vSwitch", "a migration as long as its plan says", "switches", "the plan's figure where a bridge"),
    Bar("Open vSwitch", "and the way back, too", "switches", "the plan's figure where a switch"),
    Bar("guards", "frames at 1,000 guarded ports at least 0.8 times as fast", "guards", "60-byte frames"),
    Bar("guards", "frames of TCP as well", "guards", "the same with TCP"),
    Bar("guards", "TCP at least 0.95 times as fast", "guards", "TCP at"),
    Bar("guards", "the whole table made and loaded within 2.5 times nft alone", "guards", "the guards of"),
    Bar("guards", "a port more within 2 times nft alone", "guards", "one port more, by `nft"),
    Bar("guards", "a table replaced under load leaks and loses nothing", "guards", "100 swaps"),
    Bar("guards", "a port more in half the time of the whole table", "guards", "one port more, by the whole"),
    Bar("guards", "a limit holds within 5 % over 3 s, TCP from the guest", "limits", "TCP up"),
    Bar("guards", "a limit holds within 5 % over 3 s, TCP to the guest", "limits", "TCP down"),
    Bar("guards", "a limit holds within 5 % over 3 s, UDP from the guest", "limits", "UDP up"),
    Bar("guards", "a limit holds within 5 % over 3 s, UDP to the guest", "limits", "UDP down"),
)
