"""What an import is made from, gathered from this host or from the files below a root."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from bascule.errors import MissingTool, UsageFault
from bascule.host.identity import name_for_site
from bascule.importer.importing import Sources
from bascule.importer.libvirt import READS as LIBVIRT
from bascule.importer.rules_at_ports import has_extensions
from bascule.importer.which_system import Chosen, choose_system, with_files
from bascule.model.kernel_parameters import conf
from bascule.model.sightings import fdb_entries
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.persist.detect import detect
from bascule.persist.dialect import dialect, dialects
from bascule.persist.files import FileTree, read_from_below, read_tree
from bascule.persist.foreign.dhclient import FILE as DHCLIENT
from bascule.persist.foreign.dhcpcd import FILE as DHCPCD
from bascule.persist.foreign.unread import READS as UNREAD
from bascule.persist.foreign.unread import unread
from bascule.system.net.fdb import kernel_rows
from bascule.system.net.route_tables import table_files
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import run


def gather(*, root: str | None, dialect_name: str | None, host: str | None, site_name: str | None) -> Sources:
    """With ``root`` the files below it alone, else this host's kernel as well.

    Raises UsageFault for a root or a dialect that is none, and
    BasculeError where several configuration systems are at work, and nothing shows by which the host goes.
    """
    top = root or "/"
    if not Path(top).is_dir():
        raise UsageFault.of("ROOT", f"'{top}' is not a directory", hint="name the folder above etc/")
    name = host or name_for_site(root)
    state = None if root else _observed()
    managers = detect(top)
    system = Chosen(dialect=dialect_name) if dialect_name else choose_system(top, managers, state)
    chosen = system.dialect
    places: dict[str, str] = {}
    if chosen:
        known = dialect(chosen)
        tree = read_tree(top, known.reads, known.includes)
        below = read_from_below(top, known.below, known.reads, tree)
        tree = replace(tree, files=known.in_effect(tree.files, below))
        places = {path: place for path, (place, text) in below.items() if tree.files.get(path) == text}
    else:  # files that this user may not read are no host without files
        closed = {path: why for each in dialects() if each.own for path, why in read_tree(top, each.own).skipped}
        tree = FileTree({}, tuple(sorted(closed.items())))
    files = Sources(
        host=name,
        site=site_name or name,
        dialect=chosen,
        files=tree.files,
        places=places,
        skipped=tree.skipped,
        unread=(*unread(read_tree(top, UNREAD).files), *system.told),
        why=system.why if system.told else "",
        clients=read_tree(top, (DHCPCD, DHCLIENT)).files,
        tables=table_files(top),
        libvirt=read_tree(top, LIBVIRT).files,
        state=state,
        others=() if tree.files else tuple(with_files(top)),
        chosen=not root and (dialect_name is not None or bool(managers.rivals)),
    )
    return files if root else _with_what_runs(files)


def _with_what_runs(files: Sources) -> Sources:
    """Beside the files of this host and what its kernel shows, who asks for addresses, and whether libvirt answers."""
    from bascule.dhcp.clients import daemons_of, dhcp_clients
    from bascule.providers.libvirt.effects import may_be_here

    links = files.state.links.values() if files.state is not None else ()
    leased = [one.name for one in links if any(a.is_leased for a in one.addresses)]
    clients = [(client, IfName(link)) for client in dhcp_clients() for link in client.links]
    asking = frozenset(link for client, link in clients if not client.of_ipv6_alone)
    return replace(
        files,
        libvirt_rests=not may_be_here(),
        ebtables=_ebtables(files.state),
        asking=asking,
        asking6=frozenset(link for client, link in clients if client.of_ipv6_alone),
        clientless=frozenset(leased) - asking - daemons_of(leased).keys(),
    )


def _ebtables(state: HostState | None) -> str:
    """What ebtables knows of its extensions; nothing where none is used, or its program is not here."""
    if state is None or not has_extensions(state.tables):
        return ""
    try:
        return run(("ebtables-nft-save",), check=False).stdout
    except MissingTool:
        return ""


def _observed() -> HostState:
    """What is here, with how each link that may have addresses comes by those of IPv6, and with the static entries."""
    from bascule.providers.observe import observe
    from bascule.providers.static_fdb import STATIC_FDB
    from bascule.providers.static_fdb.state import StaticFdb, static_macs

    state = observe()
    names = ("default", *(name for name, link in state.links.items() if link.master is None))
    keys = [conf(6, name, key) for name in names for key in ("accept_ra", "disable_ipv6", "use_tempaddr")]
    state = replace(state, sysctls={**state.sysctls, **read_sysctls(keys)})
    if not any(link.is_bridge for link in state.links.values()):
        return state
    return STATIC_FDB.with_part(state, StaticFdb(entries=static_macs(fdb_entries(kernel_rows(check=False)))))
