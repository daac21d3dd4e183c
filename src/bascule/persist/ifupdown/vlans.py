"""ifupdown2's words for the VLANs of a VLAN-aware bridge and its ports."""

from __future__ import annotations

from bascule.model.state import PortVlans
from bascule.model.values import IfName, parse_vid
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.values import parse_bool
from bascule.persist.formats.vlans import without
from bascule.persist.ifupdown.hooks import vlan_range
from bascule.persist.ifupdown.includes import Line


class VlanWords:
    """What all stanzas say, until the bridges of all ports are known."""

    def __init__(self) -> None:
        self.vids: dict[str, list[PortVlans]] = {}
        self.pvids: dict[str, int] = {}
        self.tagged_alone: dict[str, Line] = {}  # ports that take nothing untagged
        self.lines: dict[str, list[Line]] = {}  # of each link

    def take(self, builder: Builder, draft: LinkDraft, key: str, line: Line) -> None:
        """One option. Raises ValueError for a number that is none."""
        if key == "bridge-vids":
            for word in " ".join(line.words[1:]).replace(",", " ").split():
                with builder.left.unless_taken(line.file, line.number, f"{line.words[0]} {word}"):
                    self.vids.setdefault(draft.name, []).append(vlan_range(word, set()))
        elif key == "bridge-access":
            vid = parse_vid(line.words[1] if len(line.words) > 1 else "")
            self.vids[draft.name] = [PortVlans(first=vid, last=vid, pvid=True, untagged=True)]
        elif key == "bridge-allow-untagged":
            if not parse_bool(line.words[1] if len(line.words) > 1 else ""):
                self.tagged_alone[draft.name] = line
        else:
            self.pvids[draft.name] = parse_vid(line.words[1] if len(line.words) > 1 else "")
        self.lines.setdefault(draft.name, []).append(line)

    def settle(self, builder: Builder) -> None:
        """ifupdown2: a port has its own VLANs and PVID, or else those of its bridge; the PVID is untagged.

        The bridge itself stays in VLAN 1 (ifupdown2's addons/bridge.py).
        """
        self._tell_without_port(builder)
        for draft in builder.drafts.values():
            master = builder.drafts.get(draft.master) if draft.master else None
            if master is None or master.kind != "bridge" or draft.vlans:
                continue
            ranges = self.vids.get(draft.name, self.vids.get(master.name, []))
            default = int(master.options.get("vlan_default_pvid", 1))
            pvid = self.pvids.get(draft.name, self.pvids.get(master.name, default or 1))
            if any(vlan.pvid for vlan in ranges):
                draft.vlans += ranges
            elif (refuses := self.tagged_alone.get(draft.name)) is not None:
                draft.vlans += ranges
                draft.drops_untagged = True
                if not ranges:
                    builder.left.add(refuses.file, refuses.number, refuses.text, "the port would carry no VLAN at all")
            elif ranges or {draft.name, master.name} & self.pvids.keys():
                draft.vlans += [PortVlans(first=pvid, last=pvid, pvid=True, untagged=True)]
                draft.vlans += [part for vlan in ranges for part in without(vlan, pvid)]

    def _tell_without_port(self, builder: Builder) -> None:
        """VLANs of links that are no port of a bridge that is known, and of bridges without a known port."""
        masters = {draft.master for draft in builder.drafts.values()}
        for name, lines in self.lines.items():
            draft = builder.drafts.get(IfName(name))
            if draft is not None and draft.master is None and name not in masters:
                for line in lines:
                    builder.left.add(line.file, line.number, line.text, "no port is known that would have it")
