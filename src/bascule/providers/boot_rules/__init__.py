"""boot_rules: the one unit of systemd that loads Bascule's tables when the machine starts, and the file it loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from msgspec.structs import replace

from bascule.model.ruleset.rules import Table, owned
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Phase, Step, step
from bascule.policy.guards.table import KEY
from bascule.providers.boot_files import HEADER, BootFilesProvider, theirs, unit_commands
from bascule.providers.boot_rules.state import UNIT_NAME, BootRules, udev_text, unit_text
from bascule.providers.files import remove, systemctl, write
from bascule.providers.protocol import PlanInputs, Wanted

SUBJECT = "rules at boot"


class BootRulesProvider(BootFilesProvider):
    """It stands behind nft, for it writes down the tables that nft shall have."""

    name: ClassVar[str] = "boot_rules"
    state: ClassVar[str] = "BootRules"

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The file with every table of Bascule's, and the unit; neither where there is no table."""
        now: BootRules = self.part(observed)
        tables = owned(wanted.tables)
        reasons = {SUBJECT: f"nftables forgets {', '.join(tables)} with the machine" if tables else "no table is left"}
        if not tables:
            unit = theirs(now.unit, now.file)
            udev = (
                theirs(now.udev) if unit is None else now.udev
            )  # of another Bascule, with a state directory elsewhere
            none = replace(now, rules=None, unit=unit, enabled=unit is None or now.enabled, udev=udev)
            return Wanted(part=none, reasons=reasons)
        if not inputs.lasting:
            return Wanted(part=now)
        guarded = [name for name, link in wanted.links.items() if getattr(link.options, "no_linklocal_learn", 0)]
        udev = (udev_text(guarded) if KEY in tables else None) or theirs(now.udev)
        part = replace(now, rules=rules_text(tables), unit=unit_text(now), enabled=True, udev=udev)
        return Wanted(part=part, reasons=reasons)

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """The file and the unit, written or taken away."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return
        if new.unit is None:
            paths = (new.file, new.unit_path, *((new.udev_path,) if old.udev is not None else ()))
            gone = systemctl("disable", UNIT_NAME), remove(*paths), systemctl("daemon-reload")
            yield step(Phase.OLD_RULES, SUBJECT, "none are loaded any more", *gone, about="ruleset")
            return
        commands = []
        if old.rules != new.rules:
            commands = [remove(new.file) if new.rules is None else write(new.file, new.rules, mode=0o600)]
        commands += unit_commands(new.unit_path, old, new)
        if old.udev != new.udev:
            commands += [remove(new.udev_path) if new.udev is None else write(new.udev_path, new.udev)]
        was_theirs = theirs(old.unit, old.file) is not None
        words = "are the new ones" if old.starts and not was_theirs else "are loaded before the network comes up"
        words = words if new.starts and new.rules is not None else "none are loaded any more"
        words += f", in place of a {UNIT_NAME} of somebody else's" if was_theirs else ""
        yield step(Phase.OLD_RULES, SUBJECT, words, *commands, about="ruleset")


BOOT_RULES = BootRulesProvider()


def rules_text(tables: Mapping[str, Table]) -> str:
    """The script that loads tables anew."""
    from bascule.model.ruleset.text import replacing_text

    return HEADER + "\n" + "".join(replacing_text(table) for _, table in sorted(tables.items()))
