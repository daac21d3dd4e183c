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
    Bar("rehearsal", "the whole production scenario under 2 s", "rehearse", "rehearse examples/production.yaml"),
    Bar("rehearsal", "a twin of 200 guests up in under 1.5 s", "twin", "twin of 200 guests"),
    Bar("rehearsal", "and gone in under 0.2 s", "twin", "the same, gone"),
    Bar("rehearsal", "at least 6 times faster than Mininet", "twin", "the same, whole program, against Mininet"),
    Bar("rehearsal", "all 39,800 pairs of 200 guests in under 4 s", "questions", "39,800 ordered pairs"),
    Bar("command line", "--help within 2 times `import click`", "startup", "bascule --help"),
    Bar("apply", "200 bridges within 2 times the bare batch + 0.3 s", "apply", "apply 200 bridges"),
    Bar("apply", "at least 15 times faster than ifupdown2", "apply", "ifup -a of ifupdown2"),
    Bar("apply", "nothing to do on 200 bridges: at most 0.4 s", "apply", "a plan with nothing to do, 200"),
    Bar("apply", "nothing to do on 1,000 bridges: at most 2 s", "apply", "a plan with nothing to do, 1,000"),
    Bar("apply", "and at most 250 MB", "apply", "its memory"),
    Bar("apply", "undo at most 1.5 times the apply", "apply", "undo by apply"),
    Bar("apply", "at most one ping lost while the own address moves", "apply", "pings lost"),
    *(
        Bar("configuration files", f"{name}: 1,000 bridges rendered and parsed in under 1 s", "persist", f"{name}:")
        for name in ("ifcfg", "keyfile", "networkd", "netplan", "ifupdown")
    ),
    Bar("configuration files", "such a host imported in under 2 s", "persist", "import of that host"),
    Bar("guests", "re-plug loses at most 3 frames of a ping at 5 ms", "guests", "re-plug of a running guest"),
    Bar("guests", "guest list of 200 domains under 1 s", "guests", "guest list"),
    Bar("guests", "the production scenario with three QEMU guests under 30 s", "real_guests", "rehearse --guests qemu"),
    Bar("survey", "100,000 control frames judged in under 5 s", "survey", "judge 100,000"),
    Bar("survey", "under 5 % of a core beside 1 Gbit/s", "survey", "CPU of a survey"),
    Bar("survey", "no control frame missed that tcpdump hears", "survey", "control frames heard"),
    Bar("picture", "layout and SVG of 1,000 guests in under 1 s", "drawing", "layout and SVG of 1,000"),
    Bar("picture", "a served page of 200 ports under 5 % of a core", "serve", "bascule serve, 200 ports"),
)
