"""Keep a change over a reboot: in the files of the configuration system that looks after the host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.dialects import persistent
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.system.disk.aside import ASIDE
from bascule.system.net.netns import is_machines_own

if TYPE_CHECKING:  # where nothing is kept, as in a namespace, no dialect is imported
    from bascule.model.dhcp.identity import ClientId
    from bascule.model.host_links import PolicyRule
    from bascule.model.values import IfName, Mac
    from bascule.persist.config import NetworkConfig
    from bascule.persist.dialect import Dialect
    from bascule.persist.manager import Manager
    from bascule.persist.parsed import Files, Hardware
    from bascule.persist.writer import WritePlan
    from bascule.plan.file_change import FileChange

ON_PURPOSE = "the site file says 'persist: none'"
OWN_NAMESPACE = "this is a network namespace of its own, which no configuration system makes again"


class Persister(Struct):
    """Writes the files of one dialect below ``root``; what it will touch is decided before anything is changed."""

    site: Site
    host: Host
    dialect: str
    root: str = "/"
    unread: tuple[tuple[str, str], ...] = ()  # files that could not be read when it was decided, and why
    notes: Sequence[Note] = ()  # what else is kept, and what is not
    rivals: Sequence[Manager] = ()  # others that configure links of this host when it starts
    _writing: WritePlan | None = None
    _ids: Mapping[IfName, ClientId | None] = {}

    def changes(self, wanted: HostState) -> tuple[FileChange, ...]:
        """Every file that will be made, changed, moved aside or deleted.

        Raises BasculeError for what the dialect cannot say, and for foreign files that speak for our links and for
        others, and cannot be taken apart.
        """
        from bascule.model.route_tables import numbers, table_names
        from bascule.persist.formats.values import named_tables
        from bascule.system.net.route_tables import table_files

        with named_tables(numbers(table_names(table_files(self.root)))):
            return self._changes(wanted)

    def _changes(self, wanted: HostState) -> tuple[FileChange, ...]:
        from bascule.persist import sysctls
        from bascule.persist.detect import dhcpcd_at_boot
        from bascule.persist.dialect import dialect
        from bascule.persist.files import is_ours, read_from_below, read_tree
        from bascule.persist.foreign import cloud_init, dhcpcd
        from bascule.persist.foreign.carried import as_said_by, hook_notes, with_carried
        from bascule.persist.formats.openvswitch import unsaid
        from bascule.persist.formats.reader_notes import reader_notes
        from bascule.persist.wanted import wanted_config
        from bascule.persist.writer import FileHeader, prepare

        chosen = dialect(self.dialect, persistent)
        starts = dhcpcd_at_boot(self.root)
        patterns = (*chosen.reads, sysctls.PATH, *cloud_init.READS, *((dhcpcd.FILE,) if starts else ()))
        tree = read_tree(self.root, patterns, chosen.includes)
        existing, self.unread = tree.files, tree.skipped
        stamp = FileHeader(self.site.name, self.host.name, self.site.source.digest)
        config = wanted_config(self.site, self.host, wanted)
        nics = _nics(config, wanted)
        own = self._own_files(chosen, existing)
        config = self._as_before(config, wanted, chosen, existing, own, nics)
        returned, back = self._returned(config, chosen, existing, own, nics, wanted)
        aside = self._rules_aside(config, chosen, own, returned, nics)
        config, self.notes = with_carried(config, wanted, aside, chosen)
        self.notes += tuple(self._rival_notes(config, nics))
        foreign = chosen.parse(own[0], nics)
        self.notes += tuple(hook_notes(config, foreign.config, self.dialect))
        self.notes += tuple(_handed(name) for name in config.links if name in foreign.networkmanagers)
        told = tuple(reader_notes(config, chosen.name))
        twice = dhcpcd.twice(existing, config, chosen.name, starts) if starts else ()
        self.notes += tuple(Note(kind="warning", subject=name, text=text) for name, text in twice)
        config = as_said_by(config, chosen.name)
        chosen.check_switches(self.host, config, self.root)
        switches = (*unsaid(self.host, config, chosen.name, chosen.openvswitch), *told)
        self.notes = (*self.notes, *(Note(kind="along", subject=name, text=text) for name, text in switches))
        ours = {path: text for path, text in existing.items() if is_ours(text)}
        besides = sysctls.render(self.site, self.host, wanted, ours)
        below = read_from_below(self.root, chosen.below, chosen.reads, tree)
        writing = prepare(
            chosen,
            config,
            existing,
            stamp=stamp,
            root=self.root,
            besides=besides,
            hardware=nics,
            below=below,
            returned=returned,
        )
        self.notes += back
        unread = tuple(str(Path(self.root, path)) for path, _ in self.unread)  # or a folder above it
        changes = (replace(x, differs=x.differs and not x.path.startswith(unread)) for x in writing.changes)
        self._writing = replace(writing, changes=tuple(changes))
        return self._writing.changes

    def _rival_notes(self, config: NetworkConfig, nics: Hardware) -> Iterator[Note]:
        """Who else has files for links of ours, and acts by them when the machine starts."""
        from bascule.persist.dialect import dialect
        from bascule.persist.files import read_tree

        for rival in self.rivals:
            other = dialect(rival.dialect)
            files = read_tree(self.root, other.reads, other.includes).files
            for name in sorted(other.parse(files, nics).config.links.keys() & config.links.keys()):
                text = f"{rival.dialect} has it in its files as well ({'; '.join(rival.evidence)}): both act when the "
                text += "machine starts; turn one of them off, or take the link out of its files"
                yield Note(kind="warning", subject=name, text=text)

    def _as_before(
        self,
        config: NetworkConfig,
        wanted: HostState,
        chosen: Dialect,
        existing: Files,
        own: tuple[Files, Files],
        nics: Hardware,
    ) -> NetworkConfig:
        """What the files know and neither the site file nor the kernel does; decided once, before the change.

        Each link that asks by DHCP stays the one that its server knows. Where the site file names no name servers,
        MTU, rank of a lease, privacy or wake-up, those of the host's own files stay, the moved ones included; and the
        IPv6 mode that we wrote once, and addresses that came with an uplink which a bridge has no more.
        """
        from bascule.persist.client_ids import client_ids, with_client_ids
        from bascule.persist.foreign.own_words import (
            with_earlier_modes,
            with_emptied_links,
            with_own_words,
            with_what_stays,
        )
        from bascule.persist.formats import linkfile

        there, moved = own
        sources = [there, *([{**there, **moved}] if moved else [])]
        if self.host.as_found and there.keys() != existing.keys():
            sources.append(existing)  # what an earlier site file left on a link stays as well
        for files in sources:
            said = {
                path: text for path, text in files.items() if not linkfile.is_one(path)
            }  # those stay where they are
            config = with_own_words(config, chosen.parse(said, nics).config, wanted, nics)
        if there.keys() != existing.keys():
            earlier = chosen.parse(existing, nics).config
            config = with_what_stays(config, earlier, wanted)
            silent = {link.name for link in self.host.links() if self.host.effective(link).ipv6 is None}
            config = with_earlier_modes(config, earlier, silent)
            ours = {path: text for path, text in existing.items() if path not in there}
            own_words = chosen.parse({**there, **moved}, nics).config
            config = with_emptied_links(
                config, chosen.parse({**chosen.scaffold, **ours}, nics).config, own_words, wanted
            )
        if any(link.dhcp4 and name not in self._ids for name, link in config.links.items()):
            self._ids = client_ids(config, chosen.parse(existing, nics).config, chosen.takeover.client_id)
        return with_client_ids(config, self._ids)

    def _own_files(self, chosen: Dialect, existing: Files) -> tuple[Files, Files]:
        """The host's own files: those that stand there, and as they were those that earlier changes moved aside."""
        from bascule.persist.files import is_ours, read_moved
        from bascule.persist.foreign.dhcpcd import FILE as DHCPCD

        moved = read_moved(self.root, (*chosen.reads, *((DHCPCD,) if DHCPCD in existing else ())), chosen.includes)
        there = {path: text for path, text in existing.items() if not is_ours(text)}
        return there, moved

    def _returned(
        self,
        config: NetworkConfig,
        chosen: Dialect,
        existing: Files,
        own: tuple[Files, Files],
        nics: Hardware,
        wanted: HostState,
    ) -> tuple[Files, tuple[Note, ...]]:
        """What earlier changes moved aside for links that leave the site file, and notes on what cannot come back."""
        from bascule.persist.foreign import dhcpcd
        from bascule.persist.foreign.moved import not_there_yet, returning

        there, moved = own
        ours = {path: text for path, text in existing.items() if path not in there}
        before = chosen.parse({**chosen.scaffold, **ours}, nics).config.links.keys()
        left = before - config.links.keys()
        if not left:
            return {}, ()
        found = returning(chosen, moved, there, before=before, left=left, hardware=nics)
        files = {**found.files}
        told = [*not_there_yet(chosen, {**there, **files}, left, wanted, nics)] if files else []
        if dhcpcd.FILE in moved:
            is_whole, names = dhcpcd.still_denied(there[dhcpcd.FILE], moved[dhcpcd.FILE], left)
            files |= {dhcpcd.FILE: moved[dhcpcd.FILE]} if is_whole and names else {}
            text = f"dhcpcd is kept away from it by /{dhcpcd.FILE}, and that file was changed since Bascule wrote "
            text += "the line: take its name out of 'denyinterfaces' there"
            told += [(name, text) for name in (() if is_whole else names)]
        for name, path in found.edited:
            text = f"nothing configures it after the next start: what '/{path}' said of it was moved aside, and "
            text += f"that file was changed since; put it back by hand from {Path(self.root, ASIDE, path)}"
            told.append((name, text))
        return files, tuple(Note(kind="warning", subject=name, text=text) for name, text in told)

    def _rules_aside(
        self, config: NetworkConfig, chosen: Dialect, own: tuple[Files, Files], returned: Files, nics: Hardware
    ) -> Collection[PolicyRule]:
        """The policy rules of the host's own files that go or went aside: those that speak for links of ours.

        A file that comes back for a link that is ours no more says its rules itself from then on.
        """
        from bascule.persist.formats.rules import is_same_rule

        there, aside = {**own[0], **returned}, own[1]
        said = stand = chosen.parse(there, nics).config.rules
        if said:  # a file of rules may go with one that says whose they are
            left = {**there, **chosen.without(there, config.links.keys(), nics)}
            stay = chosen.parse({path: text for path, text in left.items() if text is not None}, nics).config.rules
            said = tuple(rule for rule in said if not any(is_same_rule(one, rule) for one in stay))
        moved = chosen.parse({**there, **aside}, nics).config.rules if aside else ()
        return (*said, *(rule for rule in moved if not any(is_same_rule(one, rule) for one in stand)))

    def write(self, wanted: HostState) -> Sequence[str]:
        """Put the files in place; the paths of those that are written.

        Raises BasculeError where a file is another one by now than when it was listed and backed up.
        """
        from bascule.persist.writer import commit

        listed = self._writing
        now = self.changes(wanted)
        if listed is not None and listed.changes != now:
            differ = [one.path for one in (*now, *listed.changes) if one not in now or one not in listed.changes]
            raise BasculeError(_changed(differ[0]))
        if self._writing is not None:
            commit(self._writing)
        return [one.path for one in now if one.new is not None]


def _handed(link: IfName) -> Note:
    text = "netplan's files leave it to NetworkManager; by Bascule's it is systemd-networkd's, now and after each start"
    text += "; when undo gives it back, NetworkManager sets its addresses anew: up to a second without them"
    return Note(kind="along", subject=link, text=text)


def _nics(config: NetworkConfig, state: HostState) -> dict[IfName, Mac | None]:
    """The NICs of a host with the MACs of their hardware; to a container the end of a cable is one."""
    return {
        name: link.facts.permanent_mac or link.mac
        for name, link in state.links.items()
        if not link.options.kind
        or (name in config.links and not config.links[name].options.kind)
        or (link.options.kind == "veth" and link.parent is None and link.master is None)
    }


def _changed(path: str) -> Problem:
    return Problem(
        code="FILE-CHANGED",
        message=f"'{path}' was changed by somebody else while the change was made, and was left as it is now",
        hint="see who writes it (cloud-init, an installer, configuration management), then run it again",
    )


def find_persister(site: Site, host: Host, *, root: str | None = None) -> tuple[Persister | None, str]:
    """Who keeps this host's network over a reboot, or None and why nobody does.

    Without ``root`` the machine's own /etc is meant, and only in its own network namespace: what is done in another
    is not what the machine shall have after a reboot. A relative root is made absolute here, once: whoever takes the
    change back stands in another folder. Raises BasculeError where two systems fight over the host.
    """
    if host.persist == "none":
        return None, ON_PURPOSE
    if root is None and not is_machines_own():
        return None, OWN_NAMESPACE
    from bascule.persist.detect import detect

    managers = detect(root or "/")
    chosen = managers.choose(host.persist)
    if chosen is None:
        return None, "no configuration system was found on this host (write 'persist: NAME' under it to choose one)"
    if chosen not in persistent():
        return None, f"{chosen} manages this host's network, and Bascule reads its files but does not write them"
    rivals = [one for one in managers.rivals if one.dialect != chosen]
    return Persister(site, host, chosen, str(Path(root or "/").resolve()), rivals=rivals), ""
