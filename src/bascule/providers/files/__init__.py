"""Files and units of systemd that other providers' steps write; configuration files of the host are persist's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Command
from bascule.plan.step import Step
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted

SYMLINK = 0o120777  # the mode of a file of ``files`` whose text is where it leads


class FilesProvider(PlainProvider):
    """It keeps no part of its own: what a file says belongs to whoever has it written."""

    name: ClassVar[str] = "files"
    tools: ClassVar[frozenset[str]] = frozenset({"install", "rm", "systemctl"})

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """Nothing of its own."""
        return Wanted()

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """Nothing of its own."""
        return ()

    def merge(self, change: ThreeWay) -> Merged:
        """Nothing of its own."""
        return Merged(part=None)


FILES = FilesProvider()


def write(path: str, text: str, *, mode: int = 0o644) -> Command:
    """A file with its folders, written whole."""
    return Command("install", ("-D", "-m", f"{mode:04o}", "/dev/stdin", path), text)


def remove(*paths: str) -> Command:
    """Files away; one that is not there is no fault."""
    return Command("rm", ("-f", *paths))


def remove_folder(path: str) -> Command:
    """A folder away with all that is in it."""
    return Command("rm", ("-rf", path))


def systemctl(*words: str) -> Command:
    """A call of systemd's own tool."""
    return Command("systemctl", words)
