"""Keep a change over a reboot: in the files of the configuration system that looks after the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.model.dialects import persistent
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.system.net.netns import is_machines_own

if TYPE_CHECKING:  # where nothing is kept, as in a namespace, no dialect is imported
    from bascule.model.dhcp.identity import ClientId
    from bascule.model.values import IfName
    from bascule.persist.config import NetworkConfig
    from bascule.persist.dialect import Dialect
    from bascule.persist.parsed import Files
    from bascule.persist.writer import Writing


class Persister(Struct):
    """Writes the files of one dialect below ``root``; what it will touch is decided before anything is changed."""

    site: Site
    host: Host
    dialect: str
    root: str = "/"
    _writing: Writing | None = None
    _ids: Mapping[IfName, ClientId | None] = {}

    def paths(self, wanted: HostState) -> Sequence[str]:
        """Every file that will be made, changed or deleted.

        Raises BasculeError for what the dialect cannot say, and for foreign files that configure the same links.
        """
        from bascule.persist import sysctls
        from bascule.persist.dialect import dialect
        from bascule.persist.files import read_tree
        from bascule.persist.wanted import wanted_config
        from bascule.persist.writer import Stamp, prepare

        chosen = dialect(self.dialect, persistent)
        existing = read_tree(self.root, (*chosen.reads, sysctls.PATH), chosen.includes).files
        stamp = Stamp(self.site.name, self.host.name, self.site.source.digest)
        config = self._identified(wanted_config(self.site, self.host, wanted), chosen, existing)
        besides = sysctls.render(self.site, self.host, wanted)
        self._writing = prepare(chosen, config, existing, stamp=stamp, root=self.root, besides=besides)
        return [str(Path(self.root, path)) for path in (*self._writing.files, *self._writing.removed)]

    def _identified(self, config: NetworkConfig, chosen: Dialect, existing: Files) -> NetworkConfig:
        """Each link that asks by DHCP stays the one that its server knows; decided once, before the change."""
        from bascule.persist.client_ids import client_ids, with_client_ids

        if any(link.dhcp4 and name not in self._ids for name, link in config.links.items()):
            nics = {name: link.pin_mac for name, link in config.links.items() if not link.options.kind}
            before = chosen.parse(existing, nics).config
            self._ids = client_ids(config, before, chosen.takeover.client_id)
        return with_client_ids(config, self._ids)

    def write(self, wanted: HostState) -> Sequence[str]:
        """Put the files in place; their paths."""
        touched = self.paths(wanted)
        if self._writing is not None:
            from bascule.persist.writer import commit

            commit(self._writing)
        return touched


def find_persister(site: Site, host: Host, *, root: str | None = None) -> tuple[Persister | None, str]:
    """Who keeps this host's network over a reboot, or None and why nobody does.

    Without ``root`` the machine's own /etc is meant, and only in its own network namespace: what is done in another
    is not what the machine shall have after a reboot. Raises BasculeError where two systems fight over the host.
    """
    if host.persist == "none":
        return None, "the site file says 'persist: none'"
    if root is None and not is_machines_own():
        return None, "this is a network namespace of its own, which no configuration system makes again"
    from bascule.persist.detect import detect

    chosen = detect(root or "/").choose(host.persist)
    if chosen is None:
        return None, "no configuration system was found on this host (write 'persist: NAME' under it to choose one)"
    if chosen not in persistent():
        return None, f"{chosen} looks after this host's network, and Bascule reads its files but does not write them"
    return Persister(site, host, chosen, root or "/"), ""
