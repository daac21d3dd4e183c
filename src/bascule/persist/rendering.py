"""A host's configuration files in one dialect, and writing them below a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, Problem
from bascule.model.dialects import writable
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.persist import sysctls
from bascule.persist.dialect import dialect
from bascule.persist.files import is_ours
from bascule.persist.formats.openvswitch import unsaid as switch_notes
from bascule.persist.formats.reader_notes import reader_notes
from bascule.persist.wanted import unpinned, unsaid, wanted_config
from bascule.persist.writer import FileHeader, is_edited, mode_of
from bascule.system.disk.durable import make_folder, write_whole

WRITTEN_AT_ONCE = 16  # files


class Rendered(Struct, frozen=True):
    """Configuration files by path, the bridges whose MAC is left open, and what no dialect supports."""

    host: Host
    files: Mapping[str, str]
    unpinned: tuple[str, ...]
    unsaid: tuple[str, ...]


def render_files(site: Site, host: Host, dialect_name: str, wanted: HostState | None) -> Rendered:
    """The files of a host; without a ``wanted`` state of its own the file says all. Raises what the dialect raises."""
    chosen = dialect(dialect_name, writable)
    config = wanted_config(site, host, wanted)
    besides = sysctls.render(site, host, wanted) if chosen.own else {}  # commands are read by nobody at boot
    chosen.check_switches(host, config, None)
    stamp = FileHeader(site.name, host.name, site.source.digest)
    files = {path: stamp.on(text) for path, text in {**chosen.render(config), **besides}.items()}
    switches = (f"{name}: {words}" for name, words in switch_notes(host, config, chosen.name, chosen.openvswitch))
    ports = (f"{name}: {words}" for name, words in reader_notes(config, chosen.name))
    return Rendered(host, files, unpinned(host, config), (*unsaid(host, dialect_name), *switches, *ports))


def write_below(folder: str, files: Mapping[str, str]) -> None:
    """Put rendered files below a folder; one that stands there and is not Bascule's is never replaced."""
    there = [Path(folder, path) for path in files if Path(folder, path).exists()]
    texts = {path: path.read_text(errors="replace") for path in there}
    words = {path: "is there and not Bascule's" for path, text in texts.items() if not is_ours(text)}
    words |= {path: "was edited since Bascule wrote it" for path, text in texts.items() if is_edited(text)}
    if words:
        hint = "name an empty folder with -o, or move them away"
        raise BasculeError(
            *(Problem(code="FILE-FOREIGN", message=f"'{path}' {why}", hint=hint) for path, why in words.items())
        )
    from concurrent.futures import ThreadPoolExecutor  # the disk is waited for twice with each of thousands

    def put(path: str) -> None:
        make_folder(Path(folder, path).parent, mode=0o755)
        write_whole(Path(folder, path), files[path].encode(), mode=mode_of(path))

    with ThreadPoolExecutor(WRITTEN_AT_ONCE) as pool:
        for _ in pool.map(put, files):
            pass
