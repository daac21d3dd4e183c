"""The SVG's legend: each network's line, and the signs that this picture uses."""

from __future__ import annotations

from html import escape

from bascule.draw.formats.canvas import cells
from bascule.draw.formats.glyphs import BAD, guard_sign, socket, state_class, wire_sign
from bascule.draw.formats.style import network_style
from bascule.draw.layout.arrange import Layout
from bascule.draw.scene.elements import (
    CUT,
    FDB_SIGN,
    FDB_WORDS,
    GUARD_WORDS,
    HELD,
    Kind,
    LinkState,
    Presence,
    Scene,
    network_id,
)

STEP = 24
_NOTE = 6.7
_BOX = '<rect class="box" x="2" y="-8" width="32" height="16" rx="5"/>'
_THROUGH = (
    '<path class="flow" d="M13 -6V2"/><path class="flowhead" d="M10 1h6l-3 5z"/>'
    '<path class="noline" d="M24 6V-2M20 -1l8 4"/><path class="no" d="M21 -1h6l-3 -5z"/>'
)


def legend(scene: Scene, layout: Layout, width: int) -> tuple[list[str], int]:
    """Its parts, from the origin, and its height."""
    entries: list[tuple[str, str]] = []
    for place, name in enumerate(scene.networks):
        node = scene.nodes.get(network_id(name))
        words = " ".join((name, *(node.notes if node else ())))
        entries.append((f'<path class="line {network_style(place)}" d="M0 0H36"/>', words))
    kinds = {node.kind for node in scene.nodes.values()}
    drawn = {box.node: box.lines for box in layout.boxes}
    guests = [node for node in scene.nodes.values() if node.kind is Kind.GUEST and node.id in drawn]
    is_brief = any(note not in drawn[node.id] for node in guests for note in set(node.notes) - set(node.brief))
    guest = "guest (what it serves is left out)" if is_brief else "guest"
    shapes = [
        (Kind.GUEST, _BOX, guest),
        (Kind.TAP, '<rect class="chip" x="2" y="-6" width="32" height="12" rx="3"/>', "its tap (port)"),
        (Kind.BRIDGE, '<rect class="box bar" x="0" y="-7" width="36" height="14" rx="2"/>', "bridge or virtual switch"),
        (Kind.TRANSLATION, f'<g class="translation">{_BOX}{_THROUGH}</g>', "address translation: out, not in"),
        (Kind.NIC, _BOX + socket(19, -5), "NIC"),
        (
            Kind.HOST,
            f'<g class="self">{_BOX}<rect class="stripe" x="2" y="-5" width="4" height="10"/></g>',
            "the host's own address",
        ),
        (Kind.MACHINE, f'<g class="machine">{_BOX}</g>', "machine"),
    ]
    if Kind.VIRTUAL_NETWORK in kinds:
        kinds.add(Kind.BRIDGE)
    entries += [(sign, words) for kind, sign, words in shapes if kind in kinds]
    for level, words in GUARD_WORDS.items():
        if any(node.guard is level for node in scene.nodes.values()):
            chip = '<rect class="chip" x="2" y="-7" width="32" height="14" rx="3"/>'
            entries.append((chip + guard_sign(14, -5, level), words))
    if any(node.static_fdb for node in scene.nodes.values()):
        entries.append((f'<text class="soft" x="14" y="4">{FDB_SIGN}</text>', FDB_WORDS))
    if any(node.members and node.kind is Kind.GUEST for node in scene.nodes.values()):
        entries.append(('<rect class="box" x="5" y="-11" width="32" height="16" rx="5"/>' + _BOX, "so many alike (×)"))
    if layout.network_lines:
        knot = (
            '<path class="line" d="M0 0H36"/><path class="w" d="M12 -9V0"/><circle class="dot" cx="12" cy="0" r="4.5"/>'
        )
        cross = '<path class="case" d="M27 -9V9"/><path class="w" d="M27 -9V9"/>'
        entries.append((knot + cross, "connected · only crossing"))
    if any(arrow.origins for arrow in scene.arrows):
        arrow = '<path class="flow" d="M4 -7V5H30V-3"/><path class="flowhead" d="M26 -2h8l-4 -7z"/>'
        entries.append((arrow, "may go out (masqueraded)"))
    for presence, name in (
        (Presence.WANTED, "in the file, not on the host"),
        (Presence.DRIFTED, "differs from the file"),
        (Presence.FOREIGN, "not in the file, left alone"),
    ):
        if any(node.presence is presence for node in scene.nodes.values()):
            entries.append((_sample(str(presence)), f"{presence}: {name}"))
    states = {node.state for node in scene.nodes.values()}
    if any(node.isolated for node in scene.nodes.values()):
        states.add(LinkState.ISOLATED)
    entries += [(_sample(state_class(state), state), str(state)) for state in LinkState if state in states & BAD]
    return _flow(entries, width)


def _sample(word: str, state: LinkState = LinkState.UNKNOWN) -> str:
    if state not in CUT | HELD:
        return f'<g class="node {word}">{_BOX}</g>'
    wire = f'<path class="w" d="M31 -9V9"/>{wire_sign(31, 0, 4, state)}'
    return f'<g class="node {word}"><rect class="box" x="0" y="-8" width="22" height="16" rx="5"/></g>{wire}'


def entry_width(words: str) -> int:
    """How much room a sign with its words takes."""
    return 36 + 8 + int(cells(words) * _NOTE) + 1


def _flow(entries: list[tuple[str, str]], width: int) -> tuple[list[str], int]:
    parts, x, y = [], 0, 8
    for sign, words in entries:
        size = entry_width(words) + 22
        if x and x + size > width:
            x, y = 0, y + STEP
        text = f'<text class="soft" x="44" y="4">{escape(words)}</text>'
        parts.append(f'<g transform="translate({x} {y})">{sign}{text}</g>')
        x += size
    return parts, y + STEP
