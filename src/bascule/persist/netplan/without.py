"""netplan's files without some links: their definitions are cut out, and everything else stands as it was written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from bascule.model.values import IfName
from bascule.persist.formats.builder import Builder
from bascule.persist.netplan.dropins import UNIT
from bascule.persist.netplan.nodes import definitions, networks, pairs, renderer_of
from bascule.persist.netplan.parse import KINDS, NetplanFiles
from bascule.persist.networkd import FOLDER as UNITS
from bascule.persist.parsed import Files, Hardware

Entry = tuple[yaml.ScalarNode, yaml.Node]


def without(files: Files, names: Collection[IfName], hardware: Hardware) -> dict[str, str | None]:
    """What is left of each file that defines one of the links; a ``match`` that fits others as well is left alone."""
    builder = Builder()
    reader = NetplanFiles(builder, hardware)
    documents = networks(files, builder)
    for path, network in documents.items():
        reader.names(path, network)
    ids = {ident for ident, links in reader.called.items() if links and set(links) <= set(names)}
    found = {path: _cut(files[path], network, ids) for path, network in documents.items()}
    units = tuple(f"{UNITS}/{UNIT}{name}.{kind}.d/" for name in (*names, *ids) for kind in ("netdev", "network"))
    dropins: dict[str, str | None] = {path: None for path in files if path.startswith(units)}
    return {path: left for path, left in found.items() if left != files[path]} | dropins


def _cut(text: str, network: yaml.MappingNode, ids: Collection[str]) -> str | None:
    """The text without these definitions; None where nothing is left in it that means anything."""
    doomed: list[tuple[yaml.Node, Entry]] = []  # each with the mapping that it stands in
    left = renderer_of(network) not in {"", "networkd"}  # who makes what other files say, and what none says
    for group, links in pairs(network):
        if group.value in {"version", "renderer"}:
            continue
        entries = definitions(links)
        mine = [(key, body) for key, body in entries if group.value in KINDS and str(key.value) in ids]
        if mine and len(mine) == len(entries):
            doomed.append((network, (group, links)))
        else:
            doomed += [(links, entry) for entry in mine]
            left = True
    if not doomed:
        return text
    if not left:
        return None
    if any(getattr(mapping, "flow_style", False) for mapping, _ in doomed):
        return _written_anew(text, [(mapping, entry) for mapping, entry in doomed])
    lines = text.splitlines(keepends=True)
    for first, end in sorted((_span(key, body, lines) for _, (key, body) in doomed), reverse=True):
        del lines[first:end]
    return "".join(lines)


def _span(key: yaml.ScalarNode, body: yaml.Node, lines: list[str]) -> tuple[int, int]:
    """Its lines; a comment behind it belongs to what follows."""
    first, end = key.start_mark.line, body.end_mark.line
    is_block = isinstance(body, yaml.CollectionNode) and not body.flow_style
    if not is_block or end == first:  # its last line is its own
        end += 1
    while end > first + 1 and (not (bare := lines[end - 1].strip() if end <= len(lines) else "") or bare[0] == "#"):
        end -= 1
    return first, end


def _written_anew(text: str, doomed: list[tuple[yaml.Node, Entry]]) -> str:
    """For definitions between braces: the document as YAML's own writer has it, which keeps no comments."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    places = {(entry[0].start_mark.line, entry[0].start_mark.column) for _, entry in doomed}
    _drop(root, places)
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper))


def _drop(node: yaml.Node, places: Collection[tuple[int, int]]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    node.value = [(key, body) for key, body in node.value if (key.start_mark.line, key.start_mark.column) not in places]
    for _, body in node.value:
        _drop(body, places)
