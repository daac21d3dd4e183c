"""What ifcfg files say of Open vSwitch, in the words of its ifup-ovs (README.RHEL of Open vSwitch)."""

from __future__ import annotations

from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.openvswitch import BRIDGE, Columns
from bascule.persist.formats.shell import AssignmentFile


class SwitchKeys(Columns):
    """The rows that all files ask for."""

    def read(self, builder: Builder, draft: LinkDraft, file: AssignmentFile) -> None:
        """The keys of one file."""
        bridge, path = file.value("OVS_BRIDGE"), file.path
        if bridge:
            builder.enslave(draft.name, bridge, path, file.found["OVS_BRIDGE"].line)
            builder.implied[bridge] = BRIDGE
        for member in file.value("BOND_IFACES").split():
            builder.enslave(member, draft.name, path, file.found["BOND_IFACES"].line)
        columns, _, commands = f"{file.value('OVS_OPTIONS')} ".partition("-- ")
        for key, table, text in (
            ("OVS_OPTIONS", "Bridge" if draft.kind == BRIDGE else "Port", columns),
            ("OVS_OPTIONS", "", commands),
            ("OVS_EXTRA", "", file.value("OVS_EXTRA")),
        ):
            try:
                if table:
                    self.take(table, draft.name, text.split())
                else:
                    self.commands(text)
            except ValueError as wrong:
                file.leave(key, str(wrong))
