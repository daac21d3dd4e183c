"""What netplan says of Open vSwitch, under ``openvswitch:`` and among the parameters of its bonds."""

from __future__ import annotations

from collections.abc import Callable

from bascule.persist.formats.builder import LinkDraft
from bascule.persist.formats.openvswitch import BOND, BRIDGE, Columns
from bascule.persist.netplan.nodes import Node, in_words, pairs, text_of
from bascule.persist.networkd.words import span_ms

KINDS = {"bridge": BRIDGE, "bond": BOND}  # a netplan group's kind, and the one that Open vSwitch makes
WORDS = {"fail-mode": "fail_mode", "mcast-snooping": "mcast_snooping_enable", "rstp": "rstp_enable", "lacp": "lacp"}
DELAYS = {"up-delay": "bond_updelay", "down-delay": "bond_downdelay"}

Leave = Callable[[Node, str, str], None]  # a node that is not supported, as text, and why


def is_switched(body: Node) -> bool:
    """Whether a definition is one of Open vSwitch."""
    return "openvswitch" in {key.value for key, _ in pairs(body)}


def foreign_kind(kind: str, body: Node) -> str:
    """What a definition is that stands among the links of another kind; empty for one that is what it stands among."""
    if kind == "vlan" and is_switched(body):
        return "a fake bridge of Open vSwitch"
    return "InfiniBand" if "infiniband-mode" in {key.value for key, _ in pairs(body)} else ""


class SwitchRows(Columns):
    """The rows that all files ask for."""

    def read(self, draft: LinkDraft, node: Node, leave: Leave) -> None:
        """``openvswitch:`` of a definition; ``external-ids`` are nobody's business."""
        row = {BRIDGE: "Bridge", BOND: "Port"}.get(draft.kind, "Interface"), draft.name
        for key, value in pairs(node):
            try:
                if key.value == "other-config":
                    self.take(*row, [f"other_config:{name.value}={text_of(text)}" for name, text in pairs(value)])
                elif key.value in WORDS:
                    self.take(*row, [f"{WORDS[key.value]}={_boolean(text_of(value))}"])
                elif key.value != "external-ids":
                    raise ValueError("not taken")
            except ValueError as wrong:
                leave(key, f"{draft.name}: openvswitch: {key.value}: {in_words(value)}", str(wrong))

    def parameter(self, draft: LinkDraft, key: str, value: Node) -> None:
        """One parameter of a bond. Raises ValueError for one that is not supported."""
        text = text_of(value)
        if key == "mode":
            self.take("Port", draft.name, [f"bond_mode={text}"])
        elif key in DELAYS:
            number = text if text.isdigit() else str(round(span_ms(text)))
            self.take("Port", draft.name, [f"{DELAYS[key]}={number}"])
        else:
            raise ValueError("not taken")


def _boolean(text: str) -> str:
    return {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text)
