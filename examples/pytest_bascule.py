"""A pytest plugin: each site file that is named is rehearsed once, and every promise of it is a test of its own.

    $ pytest -p pytest_bascule site.yaml

Put this file where Python finds it (beside the site file, with PYTHONPATH=.). A rehearsal needs root, or an account
that may make user namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from bascule import api
from bascule.rehearsal import Rehearsal


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SiteFile | None:
    """A site file is one that is named on the command line, or that ends in ``.site.yaml``."""
    named = file_path.suffix == ".yaml" and parent.session.isinitpath(file_path)
    return SiteFile.from_parent(parent, path=file_path) if named or file_path.name.endswith(".site.yaml") else None


class SiteFile(pytest.File):
    """The tests of one file: that it is valid, that the twin passes its checks, and each expectation."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing is rehearsed yet; of a file that is wrong there is nothing to expect."""
        try:
            site = api.load(str(self.path))
        except api.SiteFault:
            yield Wrong.from_parent(self, name="the site file")
            return
        yield Checks.from_parent(self, name="checks")
        for place, one in enumerate(site.expectations):
            seen_as = f", seen as {one.seen_as}" if one.seen_as else ""
            name = f"{one.source} -> {one.target} {one.service}: {one.verdict}{seen_as}"
            yield Expectation.from_parent(self, name=name, place=place)

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """Once for all tests of the file."""
        return api.rehearse(str(self.path))


class BrokenPromise(Exception):
    """What the rehearsal showed, in words."""


class Promise(pytest.Item):
    """A test whose failure is told in Bascule's own words, without a traceback."""

    parent: SiteFile

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """What is wrong, where, and what to do."""
        if isinstance(excinfo.value, api.BasculeError):
            return "\n".join(str(problem) for problem in excinfo.value.problems)
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test stands: the site file."""
        return self.path, None, self.name


class Wrong(Promise):
    """The file has problems."""

    def runtest(self) -> None:
        """Fails with each of them."""
        api.load(str(self.path))


class Checks(Promise):
    """Bridges, ports, addresses and guests of the twin are as the file says, and the way back leaves nothing."""

    def runtest(self) -> None:
        """Fails with those that are not."""
        failed = [f"{one.subject}: {one.detail}" for one in self.parent.rehearsal.checks if one.ok is False]
        if failed:
            raise BrokenPromise("\n".join(failed))


class Expectation(Promise):
    """Who must, or must not, reach whom."""

    def __init__(self, *, place: int, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]  # pytest's own: a name and the parent
        self.place = place

    def runtest(self) -> None:
        """Fails where the frames of the rehearsal showed something else, or could not show it."""
        outcome = self.parent.rehearsal.outcomes[self.place]
        if outcome.ok is not True:
            raise BrokenPromise(f"observed: {outcome.observed}; {outcome.witness.sentence}")
