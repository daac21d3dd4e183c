"""static_fdb: which MACs stand in a bridge's table by the site file, so that its guests' ports need not learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.plan.change import Command
from bascule.plan.step import Phase, Step, step
from bascule.providers.boot_files import theirs
from bascule.providers.merging import changed
from bascule.providers.protocol import PlanInputs, Wanted
from bascule.providers.static_fdb.state import (
    UDEV_FILE,
    StaticFdb,
    declared_entries,
    entering,
    forgetting,
    leaving,
    udev_text,
)
from bascule.providers.tap_settings import TapSettingsProvider


class StaticFdbProvider(TapSettingsProvider):
    """The entries go with the tap, and come again from udev. Those of ports that the file says nothing of stay."""

    name: ClassVar[str] = "static_fdb"
    tools: ClassVar[frozenset[str]] = frozenset()
    state: ClassVar[str] = "StaticFdb"
    field: ClassVar[str] = "entries"
    udev_file: ClassVar[str] = UDEV_FILE
    boot: ClassVar[str] = "static FDB entries at boot"
    verb: ClassVar[str] = "made"

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The MACs of the guests whose NICs say so, on the taps that are there."""
        now: StaticFdb = self.part(observed)
        said = {str(nic.tap): nic for nic in site.guest_nics(host.name) if nic.guarding.fdb}
        macs = declared_entries(site, host)
        there = {name: some for name, some in macs.items() if IfName(name) in wanted.links}
        kept = {name: some for name, some in now.entries.items() if name not in said}
        text = udev_text(macs) if inputs.lasting or not macs else now.udev
        text = text or theirs(now.udev)
        reasons = {_subject(name): f"{nic.guest} has fdb: {nic.guarding.fdb}" for name, nic in said.items()}
        return Wanted(
            part=StaticFdb(entries=kept | there, udev=text),
            reasons={**reasons, self.boot: "the kernel forgets them with the tap"},
            guests={_subject(name): (nic.guest,) for name, nic in said.items()},
        )

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """What is entered and taken away, port by port."""
        old, new = self.part(before), self.part(after)
        for name in dict.fromkeys((*changed(old.entries, new.entries), *new.entries)):
            link, then = before.links.get(IfName(name)), after.links.get(IfName(name))
            stays = link is not None and then is not None and link.master == then.master
            had, has = set(old.entries.get(name, ()) if stays else ()), set(new.entries.get(name, ()))
            calls = [*leaving(name, sorted(had - has) if then is not None else ()), *entering(name, sorted(has - had))]
            if has - had:
                calls.append(forgetting(name))  # what was learned there may be a lie
            if calls:
                words = f"static entries: {', '.join(sorted(has)) or 'none any more'}"
                commands = (Command(call[0], call[1:]) for call in calls)
                yield step(Phase.LATE_PORT, _subject(name), words, *commands, about="port")
        yield from self.udev_steps(old, new)

    def since(self, tap: str, value: tuple[str, ...]) -> str:
        """Entries that others have made."""
        return f"the static FDB entries of {tap} are now {', '.join(value)}"


def _subject(port: str) -> str:
    return f"fdb {port}"


STATIC_FDB = StaticFdbProvider()
