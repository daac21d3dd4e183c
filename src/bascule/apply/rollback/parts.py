"""The parts of a change that are not the kernel's and nft's: what they are about, what of them outlives a restart."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.apply.rollback.files import FileBackup
from bascule.errors import BasculeError
from bascule.model.kernel_parameters import conf
from bascule.model.state import HostState, Link
from bascule.providers.effects import ObserveScope
from bascule.providers.kernel import KERNEL
from bascule.providers.kernel.observe import read_parameters
from bascule.providers.nft import NFT
from bascule.providers.observe import look, look_at_parts
from bascule.providers.registry import PROVIDERS
from bascule.system.net.netlink import NetlinkMonitor

GONE = "the program that keeps it does not run any more, so what the change made there stays"


class CheckpointObserver:
    """Looks at the host, again and again, at all that a checkpoint knows.

    ``faults`` says what could not be seen; it is not looked for again. With a ``monitor`` that was made before, nobody
    looks again at a host of which the kernel has told nothing since.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Folder, monitor: NetlinkMonitor | None = None) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.missed: set[str] = set()
        self._altered = {name for name in checkpoint.before.parts if altered(name, checkpoint)}
        self._keys = tuple(sorted({*checkpoint.before.sysctls, *checkpoint.wanted.sysctls}))
        self._before = checkpoint.before
        self._known = dict(checkpoint.before.parts)
        self._monitor = monitor
        self._seen: HostState | None = None

    def __call__(self) -> HostState:
        """The host as it is now."""
        if self._seen is None or not self._is_still(self._seen):
            self._seen = self._look()
        return self._seen

    def _scope(self) -> ObserveScope:
        return ObserveScope(
            sysctls=self._keys,
            further=self._whether_ipv6_is_off,
            known=self._known,
            state=self.folder.state,
            faults=self.faults,
        )

    def _whether_ipv6_is_off(self, seen: HostState) -> Iterable[str]:
        """The parameters of links that have lost IPv6 addresses, from now on: where IPv6 is off, none comes back."""
        links = ((old, seen.links.get(name)) for name, old in self._before.links.items())
        lost = [conf(6, new.name, "disable_ipv6") for old, new in links if new and not _ipv6(old) <= _ipv6(new)]
        unread = [key for key in lost if key not in self._keys]
        self._keys += tuple(unread)
        return unread

    def _is_still(self, seen: HostState) -> bool:
        """Whether all is as it was seen, and no lease of it has aged; of its parameters the kernel tells nothing."""
        leased = any(one.dynamic for link in seen.links.values() for one in link.addresses)
        if self._monitor is None or self._monitor.changed() or self.faults or leased:
            return False
        if read_parameters(dict.fromkeys((*self._keys, *seen.sysctls))) != seen.sysctls:
            return False
        return look_at_parts(self._scope()).parts == seen.parts

    def _look(self) -> HostState:
        state = look(self._scope())
        gone = self._known.keys() - state.parts.keys()
        told = {fault.partition(": ")[0] for fault in self.faults}
        self.faults += [f"{name}: {GONE}" for name in sorted(gone & self._altered - told)]
        self.missed |= gone
        self._known = {name: part for name, part in self._known.items() if name not in self.missed}
        return state


def _ipv6(link: Link) -> set[str]:
    return {address.ip for address in link.addresses if address.is_ipv6}


def altered(name: str, checkpoint: Checkpoint) -> bool:
    """Whether a change has made or altered anything of a part."""
    return bool(checkpoint.before.parts.get(name) != checkpoint.wanted.parts.get(name))


def hidden_links(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Why it cannot be seen where links are that a change has put elsewhere, of each who keeps such links.

    A NIC whose addresses came back while it is still a port would cut the host off.
    """
    found: list[str] = []
    for one in PROVIDERS:
        if one.keeps_links and altered(one.name, checkpoint):
            try:
                is_seen = one.effects().read(list, ObserveScope()) is not None
                found += () if is_seen else (f"{one.name}: {GONE}",)
            except BasculeError as error:
                found += (f"{one.name}: {problem.words}" for problem in error.problems)
    return tuple(found)


def names(before: HostState, wanted: HostState, without: Iterable[str] = ()) -> tuple[str, ...]:
    """What the parts of a change are about, a line for each kind of thing, for people."""
    told = (one for one in PROVIDERS if one.name in before.parts and one.name not in without)
    return tuple(line for one in told for line in one.names(before, wanted))


def last(before: HostState, wanted: HostState) -> bool:
    """Whether any part of a change outlives a restart: definitions of guests, units of networks."""
    return any(one.lasts(before, wanted) for one in PROVIDERS if one.name in before.parts)


def boot_files(before: HostState, wanted: HostState) -> tuple[FileBackup, ...]:
    """The files of parts that systemd reads when the machine starts, as they were before the change."""
    found: dict[str, FileBackup] = {}
    for one in PROVIDERS:
        if one.name in before.parts:
            found |= {path: FileBackup(path=path) for path in one.files(wanted)}
            for path, (text, mode) in one.files(before).items():
                found[path] = FileBackup(path=path, content=text.encode(), mode=mode)
    return tuple(found.values())


def load(names_: Iterable[str]) -> None:
    """Import what the way back of these parts needs, and that of kernel and nft, while there is time."""
    for one in PROVIDERS:
        one.effects()  # a look asks everybody whether there is anything of his
        if one.name in {*names_, KERNEL.name, NFT.name}:
            one.load()
