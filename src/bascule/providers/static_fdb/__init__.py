"""static_fdb: which MACs stand in a bridge's table by the site file, so that its guests' ports need not learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.plan.change import Command
from bascule.plan.step import Phase, Step, step
from bascule.policy.guards.ports import guarded_ports
from bascule.providers.files import remove, write
from bascule.providers.merging import changed, merge_mapping
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted
from bascule.providers.static_fdb.state import UDEV_FILE, StaticFdb, entering, forgetting, leaving, udev_text

if TYPE_CHECKING:
    from bascule.providers.effects import Effects

SUBJECT = "static FDB entries at boot"


class StaticFdbProvider(PlainProvider):
    """The entries go with the tap, and come again from udev. Those of ports that the file says nothing of stay."""

    name: ClassVar[str] = "static_fdb"
    tools: ClassVar[frozenset[str]] = frozenset()
    programs: ClassVar[frozenset[str]] = frozenset({"bridge"})
    drifts: ClassVar[bool] = True

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, surroundings: PlanInputs) -> Wanted:
        """The MACs of the guests whose NICs say so, on the taps that are there."""
        now: StaticFdb | None = self.part(observed)
        if now is None:
            return Wanted()
        said = {str(nic.tap): nic for nic in site.guest_nics(host.name) if nic.guarding.fdb}
        macs = {
            str(port.name): tuple(sorted(map(str, port.macs)))
            for port in guarded_ports(site, host)
            if port.guarding.fdb == "static" and not port.by_flows
        }
        there = {name: some for name, some in macs.items() if IfName(name) in wanted.links}
        kept = {name: some for name, some in now.entries.items() if name not in said}
        text = udev_text(macs) if surroundings.lasting or not macs else now.udev
        reasons = {_subject(name): f"{nic.guest} has fdb: {nic.guarding.fdb}" for name, nic in said.items()}
        return Wanted(
            part=StaticFdb(entries=kept | there, udev=text),
            reasons={**reasons, SUBJECT: "the kernel forgets them with the tap"},
            guests={_subject(name): (nic.guest,) for name, nic in said.items()},
        )

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """What is entered and taken away, port by port."""
        old, new = self.part(before), self.part(after)
        if old is None or new is None:
            return
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
        if old.udev != new.udev:
            command = remove(UDEV_FILE) if new.udev is None else write(UDEV_FILE, new.udev)
            words = "none are made any more" if new.udev is None else "are made whenever a tap appears"
            yield step(Phase.LATE_PORT, SUBJECT, words, command, about="options")

    def merge(self, change: ThreeWay) -> Merged:
        """Port by port."""
        before, wanted, now = self.part(change.before), self.part(change.wanted), self.part(change.now)
        if before is None or now is None:
            return Merged(part=now)
        kept: list[str] = []
        after = self.part(change.applied) if change.applied is not None else wanted
        entries = merge_mapping(
            before.entries, wanted.entries if wanted else {}, now.entries, (after or now).entries, kept=kept,
            words=lambda port, macs: f"the static FDB entries of {port} are now {', '.join(macs)}",
        )  # fmt: skip
        entries = {name: one for name, one in entries.items() if IfName(name) in change.now.links}
        return Merged(part=StaticFdb(entries=entries, udev=before.udev), kept=tuple(kept))

    def put_right(self, before: HostState, wanted: HostState, now: HostState) -> StaticFdb:  # by marks
        """The entries of taps that are there."""
        shall, part = self.part(wanted), self.part(now)
        entries = {name: one for name, one in shall.entries.items() if IfName(name) in now.links}
        return StaticFdb(entries=entries, udev=part.udev)

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether udev's rule is another one."""
        old, new = self.part(before), self.part(wanted)
        return (old.udev if old else None) != (new.udev if new else None)

    def files(self, state: HostState) -> dict[str, tuple[str, int]]:
        """Udev's rule."""
        part: StaticFdb | None = self.part(state)
        return {} if part is None or part.udev is None else {UDEV_FILE: (part.udev, 0o644)}

    def to_json(self, part: Any) -> Any:
        """MACs by port."""
        return msgspec.to_builtins(part)

    def from_json(self, data: Any) -> Any:
        """The same back. Raises ValueError for what is none."""
        return msgspec.convert(data, StaticFdb)

    def effects(self) -> Effects:
        """One call of bridge(8) tells them."""
        from bascule.providers.static_fdb.effects import StaticFdbEffects

        return StaticFdbEffects()


def _subject(port: str) -> str:
    return f"fdb {port}"


STATIC_FDB = StaticFdbProvider()
