"""The SVG's legend: each network's line, and the signs that this picture uses."""

from __future__ import annotations

from html import escape

from bascule.draw.layout import Layout
from bascule.draw.scene import Kind, LinkState, Presence, Scene, network_id
from bascule.draw.style import network_style

STEP = 24
_NOTE = 6.7


def legend(scene: Scene, layout: Layout, width: int) -> tuple[list[str], int]:
    """Its parts, from the origin, and its height."""
    entries: list[tuple[str, str]] = []
    for place, name in enumerate(scene.networks):
        node = scene.nodes.get(network_id(name))
        words = " ".join((name, *(node.notes if node else ())))
        entries.append((f'<path class="rail {network_style(place)}" d="M0 0H36"/>', words))
    kinds = {node.kind for node in scene.nodes.values()}
    shapes = [
        (Kind.GUEST, '<rect class="box" x="2" y="-8" width="32" height="16" rx="5"/>', "guest"),
        (Kind.TAP, '<rect class="chip" x="2" y="-6" width="32" height="12" rx="3"/>', "its tap (port)"),
        (Kind.BRIDGE, '<rect class="box bar" x="0" y="-7" width="36" height="14" rx="2"/>', "bridge or virtual switch"),
        (
            Kind.HOST,
            '<g class="self"><rect class="box" x="2" y="-8" width="32" height="16" rx="5"/></g>',
            "the host itself",
        ),
        (
            Kind.TRANSLATION,
            '<g class="translation"><rect class="box" x="2" y="-8" width="32" height="16" rx="5"/></g>',
            "address translation",
        ),
    ]
    if Kind.VIRTUAL_NETWORK in kinds:
        kinds.add(Kind.BRIDGE)
    entries += [(sign, words) for kind, sign, words in shapes if kind in kinds]
    if layout.rails:
        knot = (
            '<path class="rail" d="M0 0H36"/><path class="w" d="M12 -9V0"/><circle class="dot" cx="12" cy="0" r="4.5"/>'
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
    for state, word in (
        (LinkState.NO_CARRIER, "nocarrier"),
        (LinkState.DOWN, "down"),
        (LinkState.BLOCKED, "blocked"),
        (LinkState.ISOLATED, "isolated"),
    ):
        if any(node.state is state for node in scene.nodes.values()):
            entries.append((_sample(word), str(state)))
    return _flow(entries, width)


def _sample(word: str) -> str:
    return f'<g class="node {word}"><rect class="box" x="2" y="-8" width="32" height="16" rx="5"/></g>'


def _flow(entries: list[tuple[str, str]], width: int) -> tuple[list[str], int]:
    parts, x, y = [], 0, 8
    for sign, words in entries:
        size = 36 + 8 + int(len(words) * _NOTE) + 22
        if x and x + size > width:
            x, y = 0, y + STEP
        text = f'<text class="soft" x="44" y="4">{escape(words)}</text>'
        parts.append(f'<g transform="translate({x} {y})">{sign}{text}</g>')
        x += size
    return parts, y + STEP
