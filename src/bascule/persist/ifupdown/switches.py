"""What stanzas say of Open vSwitch, in the words of its own scripts (README.Debian of openvswitch-switch)."""

from __future__ import annotations

import re

from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.openvswitch import BOND, BRIDGE, TYPES, Columns
from bascule.persist.formats.values import parse_mtu
from bascule.persist.ifupdown.includes import Line
from bascule.persist.ifupdown.words import patterns

SWITCHES = frozenset({BRIDGE, BOND})


def is_taken(line: Line) -> bool:
    """Whether an option makes a link that a site file can say; internal ports, patches and tunnels it cannot."""
    return line.key == "ovs-type" and " ".join(line.words[1:]).lower() in TYPES


class SwitchWords(Columns):
    """The rows that all stanzas ask for."""

    def settle(self, builder: Builder) -> None:
        """Into the drafts of their links; the MTU of a bond is that of its NICs, as the script asks for it."""
        super().settle(builder)
        mtus = {name: draft.mtu for name, draft in builder.drafts.items() if draft.kind == BOND and draft.mtu}
        for draft in builder.drafts.values():
            if draft.master in mtus and draft.mtu is None:
                draft.mtu = mtus[draft.master]

    def option(self, builder: Builder, draft: LinkDraft, key: str, line: Line) -> None:
        """One option. Raises ValueError for what is not supported."""
        given = [re.sub(r"\$(IFACE\b|\{IFACE\})", lambda _: draft.name, word) for word in line.words[1:]]
        if key in {"ovs-ports", "ovs-bonds"}:
            for name in given:
                if name not in builder.excluded:  # told there; an internal port is none that leads out
                    member = builder.enslave(name, draft.name, line.file, line.number)
                    if member is not None and key == "ovs-bonds":
                        member.onboot = True  # the script sets it up
        elif key == "ovs-bridge" and given:
            if builder.enslave(draft.name, given[0], line.file, line.number):
                builder.implied[given[0]] = BRIDGE
        elif key == "ovs-options" and draft.kind != BRIDGE:
            columns, _, rest = " ".join(given).partition(" -- ")
            self.take("Port", draft.name, columns.removeprefix("-- ").split() if columns != "--" else [])
            self.commands(rest)
        elif key in {"ovs-options", "ovs-extra"}:
            self.commands(" ".join(given))
        elif key == "ovs-ports-condone-regex":
            builder.unmanaged += patterns(" ".join(given))
        elif key == "ovs-mtu":  # ifupdown2's
            draft.mtu = parse_mtu(" ".join(given))
        elif key != "ovs-type":
            raise ValueError("not taken")
