"""The small signs of the SVG: what a kind is, how a wire does, who goes through a box, where a frame ends."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.draw.layout.arrange import Layout
from bascule.draw.layout.blocks import Box
from bascule.draw.scene.elements import CUT, HELD, LinkState, Path, Scene
from bascule.model.guarding import GuardLevel

SOCKET = 12
"""The width of a NIC's sign."""

SHIELD = 12
"""The width of a guard's sign, with the room behind it."""

BAD = CUT | HELD | {LinkState.ISOLATED}


def way_end(path: Path, box: Box) -> str:
    """A tick or a cross at the element where the frame ends; a question mark where nothing proves either."""
    sign, name = {
        True: ("m-4 0l3 4l5 -8", "yes"),
        False: ("m-4 -4l8 8m0 -8l-8 8", "no"),
        None: ("m-3 -2c0 -4 6 -4 6 0c0 2 -3 2 -3 4m0 2v1", "no"),
    }[path.reached]
    x, y = box.x + box.w - 2, box.y + 2
    return f'<circle class="{name}" cx="{x}" cy="{y}" r="9"/><path class="sign" d="M{x} {y}{sign}"/>'


def one_way(box: Box, *, open_in: bool) -> Iterable[str]:
    """Out goes, in does not: the point of a NAT network."""
    x, top, bottom = box.x + box.w - 40, box.y + 8, box.y + box.h - 8
    yield f'<path class="flow" d="M{x} {top}V{bottom - 6}"/><path class="flowhead" d="M{x - 4} {bottom - 7}h8l-4 7z"/>'
    x += 22
    yield f'<path class="noline" d="M{x} {bottom}V{top + 6}"/><path class="no" d="M{x - 4} {top + 7}h8l-4 -7z"/>'
    middle = (top + bottom) // 2
    if not open_in:
        yield f'<path class="noline" stroke-width="2.4" d="M{x - 7} {middle - 7}l14 14m0 -14l-14 14"/>'
    else:
        yield f'<path class="noline" d="M{x - 7} {middle - 3}h14m0 6h-14"/>'


def arrows(scene: Scene, layout: Layout, box: Box) -> Iterable[str]:
    """Who goes out through a machine, as an arrow from its NIC in one network to that in the other."""
    legs = {}
    for edge in scene.edges:
        if edge.lower == box.node and edge.id in layout.wires:
            legs[scene.nodes[edge.upper].label] = layout.wires[edge.id][-1][0]
    for arrow in scene.arrows:
        if arrow.machine != box.node or arrow.to not in legs:
            continue
        for origin in arrow.origins:
            if origin not in legs:
                continue
            start, end, y = legs[origin], legs[arrow.to], box.y + 17
            yield f'<path class="flow" d="M{start} {box.y + 2}V{y}H{end}V{box.y + 9}"/>'
            yield f'<path class="flowhead" d="M{end - 4} {box.y + 10}h8l-4 -8z"/>'


def state_class(state: LinkState) -> str:
    """The class of an element in a state that is worth a colour."""
    return {
        LinkState.NO_CARRIER: "nocarrier",
        LinkState.DOWN: "down",
        LinkState.BLOCKED: "blocked",
        LinkState.WAITING: "blocked",
        LinkState.ISOLATED: "isolated",
    }.get(state, "")


def socket(x: int, y: int) -> str:
    """A NIC's: the hole for its plug."""
    contacts = "".join(f"M{x + step} {y + 2}v3" for step in (3, 6, 9))
    return f'<path class="glyph" d="M{x} {y}h12v7h-3v3h-6v-3h-3z{contacts}"/>'


def wire_sign(x: int, y: int, size: int, state: LinkState) -> str:
    """A cross on a wire that is cut, a bar across one that is held back."""
    cross = f"M{x - size} {y - size}l{2 * size} {2 * size}m0 -{2 * size}l-{2 * size} {2 * size}"
    bars = f"M{x - size - 1} {y - 2}h{2 * size + 2}m0 4h-{2 * size + 2}"
    clear = f'<rect class="page" x="{x - size}" y="{y - size}" width="{2 * size}" height="{2 * size}"/>'
    if state in CUT:
        return f'{clear}<path class="noline" stroke-width="2.2" d="{cross}"/>'
    return f'<path class="noline" stroke-width="2.2" d="{bars}"/>'


def guard_sign(x: int, y: int, level: GuardLevel) -> str:
    """A port's: a shield, filled where the guard knows the addresses as well."""
    look = "yes" if level is GuardLevel.STRICT else "flow"
    return f'<path class="{look}" d="M{x} {y}h8v4c0 3-2 5-4 6-2-1-4-3-4-6z"/>'
