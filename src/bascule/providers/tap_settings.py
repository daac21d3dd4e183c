"""What two providers share: a value for each tap, which goes with it, and udev's rule that sets it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.plan.step import Phase, Step, step
from bascule.providers.files import remove, write
from bascule.providers.merging import merge_mapping
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, ThreeWay


class TapSettingsProvider(PlainProvider):
    """Its part has the values by tap in ``field``, and the text of udev's rule in ``udev``.

    ``boot`` is what a plan calls the rule, ``verb`` what it does to the values.
    """

    field: ClassVar[str]
    udev_file: ClassVar[str]
    boot: ClassVar[str]
    verb: ClassVar[str]
    drifts: ClassVar[bool] = True

    def since(self, tap: str, value: Any) -> str:
        """What others have made of a value meanwhile, as a sentence."""
        raise NotImplementedError

    def udev_steps(self, old: Any, new: Any) -> Iterator[Step]:
        """The rule written, or taken away."""
        if old.udev == new.udev:
            return
        command = remove(self.udev_file) if new.udev is None else write(self.udev_file, new.udev)
        words = f"none are {self.verb} any more" if new.udev is None else f"are {self.verb} whenever a tap appears"
        yield step(Phase.LATE_PORT, self.boot, words, command, about="options")

    def merge(self, change: ThreeWay) -> Merged:
        """Tap by tap."""
        before, wanted, now, after = self.parts(change)
        kept: list[str] = []
        parts = (before, wanted, now, (after if change.applied is not None else wanted) or now)
        values = merge_mapping(*map(self._values, parts), kept=kept, words=self.since)
        new = values.keys() - self._values(before).keys()
        kept += [self.since(tap, values[tap]) for tap in sorted(new) if tap in change.before.links]
        return Merged(part=self._on_taps(now, values, change.now, before.udev), kept=tuple(kept))

    def put_right(self, change: ThreeWay) -> Any:
        """The values of taps that are there, and udev's rule."""
        wanted = self.part(change.wanted)
        return self._on_taps(self.part(change.now), self._values(wanted), change.now, wanted.udev)

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether udev's rule is another one."""
        old, new = self.part(before), self.part(wanted)
        return (old.udev if old else None) != (new.udev if new else None)

    def files(self, state: HostState) -> dict[str, tuple[str, int]]:
        """Udev's rule."""
        part = self.part(state)
        return {} if part is None or part.udev is None else {self.udev_file: (part.udev, 0o644)}

    def _values(self, part: Any) -> Mapping[str, Any]:
        values: Mapping[str, Any] = getattr(part, self.field) if part is not None else {}
        return values

    def _on_taps(self, part: Any, values: Mapping[str, Any], state: HostState, udev: str | None) -> Any:
        there = {name: value for name, value in values.items() if name in state.links}
        return replace(part, **{self.field: there, "udev": udev})
