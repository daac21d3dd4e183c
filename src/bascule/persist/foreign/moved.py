"""What an earlier change moved aside comes back for the links that leave the site file: nobody else configures them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from msgspec import Struct

from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.persist.dialect import Dialect
from bascule.persist.parsed import Files, Hardware

_NUMBERED = re.compile(r"\.\d+$")  # the second of a file that was moved twice, as the writer names it


class Returning(Struct, frozen=True, kw_only=True):
    """``files`` are those that come back, as they were when they were moved; ``edited`` others that do not.

    Of a file of which a part had stayed, what stands there must be that part still.
    """

    files: Files = {}
    edited: tuple[tuple[IfName, str], ...] = ()  # each link with the path of a file that spoke for it


def returning(
    dialect: Dialect,
    moved: Files,
    there: Files,
    *,
    before: Collection[IfName],
    left: Collection[IfName],
    hardware: Hardware,
) -> Returning:
    """What comes back of ``moved`` beside the host's own files that are ``there``, by their paths.

    ``before`` are the links that files of ours configure now, ``left`` those of them that the site file has no more.
    """
    if not left or not moved:
        return Returning()
    whole = {path: text for path, text in moved.items() if _NUMBERED.sub("", path) not in moved.keys() - {path}}
    tree = {**there, **whole}
    spoke = dialect.without(tree, left, hardware).keys() & whole.keys()
    rest = dialect.without(tree, before, hardware)
    back = {path: whole[path] for path in spoke if rest.get(path, whole[path]) == there.get(path)}
    edited = tuple(_links_of(dialect, {path: whole[path] for path in spoke - back.keys()}, left, hardware))
    return Returning(files=back, edited=edited)


def not_there_yet(
    dialect: Dialect, files: Files, left: Collection[IfName], state: HostState, hardware: Hardware
) -> Iterator[tuple[IfName, str]]:
    """Addresses that the files give to links which the site file has no more, and that these have not, in words."""
    said = dialect.parse(files, hardware).config.links
    for name in sorted(said.keys() & set(left)):
        there = {address.ip for address in state.links[name].addresses} if name in state.links else set()
        if missing := [ip for ip in said[name].addresses if ip not in there]:
            verb = "are" if len(missing) > 1 else "is"
            text = f"its own file comes back, and {', '.join(missing)} {verb} not on it now: "
            yield name, f"{text}from the next start on, or once something reads that file"


def _links_of(
    dialect: Dialect, files: Files, left: Collection[IfName], hardware: Hardware
) -> Iterator[tuple[IfName, str]]:
    for path, text in sorted(files.items()):
        for name in sorted(dialect.parse({path: text}, hardware).config.links.keys() & left):
            yield name, path
