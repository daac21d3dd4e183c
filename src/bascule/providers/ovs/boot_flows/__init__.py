"""boot_flows: the unit of systemd that loads the guards' rules into Open vSwitch, and the two files that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Phase, Step, step
from bascule.providers.boot_files import BootFilesProvider, theirs, unit_commands
from bascule.providers.files import remove, systemctl, write
from bascule.providers.ovs import OVS
from bascule.providers.ovs.boot_flows.state import UNIT_NAME, BootFlows
from bascule.providers.protocol import PlanInputs, Wanted

if TYPE_CHECKING:
    from bascule.providers.ovs.state import SwitchState

SUBJECT = "guards of switches at boot"


class BootFlowsProvider(BootFilesProvider):
    """It stands behind ovs, for it writes down the rules that its switches shall have."""

    name: ClassVar[str] = "boot_flows"
    state: ClassVar[str] = "BootFlows"

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The files where a switch has guards; none elsewhere."""
        now: BootFlows = self.part(observed)
        switches: SwitchState | None = OVS.part(wanted)
        if switches is None or not switches.flows:
            unit = theirs(now.unit, now.file)
            none = replace(now, rules=None, script=None, unit=unit, enabled=unit is None or now.enabled)
            return Wanted(part=none, reasons={SUBJECT: "no switch has guards"})
        if not inputs.lasting:
            return Wanted(part=now)
        from bascule.providers.ovs.boot_flows.texts import rules_text, script_text, unit_text

        taps = {
            str(bridge): sorted(str(nic.tap) for nic in site.guest_nics(host.name) if nic.master == bridge)
            for bridge in host.bridges
        }
        texts = {
            "rules": rules_text(switches, taps),
            "script": script_text(now, switches.socket),
            "unit": unit_text(now),
        }
        why = "a switch forgets its rules with ovs-vswitchd, and passes nothing without them"
        return Wanted(part=replace(now, **texts, enabled=True), reasons={SUBJECT: why})

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """The files and the unit, written or taken away."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return
        if old.script is not None:  # what it knows is old from here on
            words = "are not followed while they are replaced" if new.unit else "are followed no more"
            yield step(Phase.RULES, SUBJECT, words, systemctl("stop", UNIT_NAME), about="ruleset")
        if new.script is None:
            unit = () if new.unit is not None else (new.unit_path,)
            gone = [systemctl("disable", UNIT_NAME), remove(new.file, new.script_path, *unit)]
            gone += [*unit_commands(new.unit_path, replace(old, enabled=False), new)] or [systemctl("daemon-reload")]
            yield step(Phase.OLD_RULES, SUBJECT, "none are loaded any more", *gone, about="ruleset")
            return
        commands = [write(new.file, new.rules or "", mode=0o600)] if old.rules != new.rules else []
        if old.script != new.script:
            commands.append(write(new.script_path, new.script, mode=0o700))
        commands += [*unit_commands(new.unit_path, old, new), systemctl("restart", UNIT_NAME)]
        first = "are loaded behind ovs-vswitchd and follow its ports"
        words = "are the new ones" if old.starts and old.script else first
        words = words if new.starts else "none are loaded any more"
        yield step(Phase.OLD_RULES, SUBJECT, words, *commands, about="ruleset")


BOOT_FLOWS = BootFlowsProvider()
