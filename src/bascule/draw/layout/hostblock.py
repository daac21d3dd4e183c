"""The layout of one host: guests on bridges, bridges on VLAN links and bonds, those on NICs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from bascule.draw.layout.blocks import Block, Box, Exit, Metrics, box, on_bar, ports, rows, spread, wrap
from bascule.draw.layout.crossing_order import in_order
from bascule.draw.layout.tree import Tree, build_tree
from bascule.draw.scene.elements import Kind, Layer, Node, Scene
from bascule.model.values import grouped

SHORT = 16
"""The longest short note, in characters: a dotted quad and ``tcp/8000-8100`` fit."""

DOOR = 40
"""The longest note of a translation: which port leads to which guest must be seen whole."""


class Notes(Enum):
    """How much is written into the boxes."""

    FULL = 2
    SHORT = 1
    NONE = 0


_WIDE = {Kind.BRIDGE, Kind.VIRTUAL_NETWORK}


class HostLayout:
    """Lays out one host, as often as it is tried; what does not depend on its depth and width is found out once."""

    def __init__(self, scene: Scene, host: str, m: Metrics, *, notes: Notes) -> None:
        self.scene = scene
        self.host = host
        self.m = m
        self.deep = 1
        self.words = {key: words_of(node, m, notes) for key, node in scene.on_host(host).items()}
        self.tree: Tree = build_tree(scene, host)
        self.entered = {target for key in self.tree.loose for target in self.tree.targets(key)}
        edges = scene.wires_from(host)
        self.network_of = {edge.id: edge.network for edge in edges}
        self.networks = grouped(
            (edge.upper, (edge.lower, edge.id))
            for edge in edges
            if edge.lower in scene.nodes and scene.nodes[edge.lower].layer is Layer.NETWORK
        )

    def block(self, deep: int, width: int | None) -> Block:
        """The whole host with its frame; ``deep`` is how many guests stand on each other in a column."""
        m = self.m
        self.deep = deep
        room = width - 2 * m.frame_x if width else None
        main = [self._subtree(root, room) for root in self.tree.roots]
        body = rows(wrap(main, gap=m.gap, width=room), m) if main else Block()
        if self.tree.loose:
            body = self._guests_above(body, room)
        return self._framed(body)

    def _subtree(self, key: str, room: int | None) -> Block:
        m = self.m
        node = self.scene.nodes[key]
        ends: list[Block] = []
        others: list[Block] = []
        for child in self.tree.children.get(key, []):
            layer = self.scene.nodes[child].layer
            if layer <= Layer.TAP:
                ends.append(self._end(child))
            elif self.scene.nodes[child].kind is Kind.HOST:
                others.append(self._end(child))
            else:
                others.append(self._subtree(child, room))
        lines = self._grid(ends, room)
        lines = [*wrap(others, gap=m.gap, width=room), *lines] if others else lines
        if others and ends and len(lines) == 2 and len(lines[1]) == len(ends):
            one = [*lines[0], *lines[1]]
            if room is None or sum(x.w + m.gap for x in one) <= room:
                lines = [one]
        above = rows(lines, m)
        shape = "bar" if node.kind in _WIDE else "box"
        legs = self.networks.get(key, [])
        bar = box(key, self.words[key], m, ports=max(len(legs), 1), shape=shape, extra=_icon(node, m))
        if node.kind is Kind.TRANSLATION:
            bar.w += m.snap(2 * m.arrow)
        out = on_bar(above, bar, m, wide=node.kind in _WIDE, entry=key in self.entered)
        if key in self.tree.members:
            return self._over_members(out, bar, self.tree.members[key])
        bottom = bar.y + bar.h - m.edge
        if key in self.tree.primary:
            edge = next(e for e in self.tree.lower[key] if e.lower == self.tree.primary[key])
            legs = [(edge.lower, edge.id)]
        self._leave(out, bar, legs, bottom)
        return out

    def _leave(self, out: Block, frame: Box, legs: Sequence[tuple[str, str]], bottom: int) -> None:
        for (target, edge), x in zip(legs, ports(frame, len(legs), self.m), strict=True):
            out.paths[edge] = [(x, bottom)]
            out.exits.append(Exit(key=target, x=x, edges=(edge,), network=self.network_of.get(edge)))

    def _over_members(self, out: Block, bar: Box, members: Sequence[str]) -> Block:
        """An element on several legs: its NICs in a row under it."""
        m = self.m
        blocks = []
        for member in members:
            legs = self.networks.get(member, [])
            icon = _icon(self.scene.nodes[member], m)
            frame = box(member, self.words[member], m, ports=max(len(legs), 1), extra=icon)
            block = Block(w=frame.w, h=frame.h, boxes=[frame])
            self._leave(block, frame, legs, frame.h - m.edge)
            blocks.append(block)
        entered = [member for member in members if member in self.entered]
        row = rows([blocks], m)
        channel = m.drop + m.track * len(entered)
        top = out.h
        row.moved(max(0, m.grid * ((out.w - row.w) // 2 // m.grid)), top + channel)
        out.w = max(out.w, row.w)
        first = min(frame.x for frame in row.boxes)
        last = max(frame.x + frame.w for frame in row.boxes)
        right = max(bar.x + bar.w, last)
        bar.x = min(bar.x, first)
        bar.w = right - bar.x
        out.take(row)
        out.exits += row.exits
        frames = {frame.node: frame for frame in row.boxes}
        for edge in self.tree.lower[bar.node]:
            x = ports(frames[edge.lower], 1, m)[0]
            out.paths[edge.id] = [(x, bar.y + bar.h - m.edge), (x, frames[edge.lower].y)]
        for place, member in enumerate(entered):
            lane = out.w + m.half()
            out.w += m.grid
            x = ports(frames[member], 1, m)[0] - m.half()
            track = top + m.track * place + m.drop // 2
            out.entries[member] = [(lane, 0), (lane, track), (x, track), (x, frames[member].y)]
        out.h = top + channel + max(frame.h for frame in row.boxes)
        return out

    def _end(self, key: str, lanes: Mapping[str, int] | None = None) -> Block:
        """A guest with its taps, a tap without a guest, or the host's own address.

        ``lanes`` says where the wires to an element come in, so that the taps stand in the order of their wires.
        """
        m = self.m
        taps = self.tree.taps.get(key)
        if taps is None:
            legs = [(edge.lower, edge.id) for edge in self.tree.lower[key]]
            frame = box(key, self.words[key], m, ports=max(len(legs), 1))
            block = Block(w=frame.w, h=frame.h, boxes=[frame])
            self._leave(block, frame, legs, frame.h - m.edge)
            return block
        chips = []
        if lanes:
            taps = sorted(taps, key=lambda tap: min((lanes[e.lower] for e in self.tree.lower[tap]), default=0))
        for tap in taps:
            legs = [(edge.lower, edge.id) for edge in self.tree.lower[tap]]
            chips.append((box(tap, self.words[tap], m, ports=len(legs), shape="chip"), legs))
        frame = box(key, self.words[key], m)
        gap = m.snap(m.gap // 2)
        total = sum(chip.w for chip, _ in chips) + gap * max(len(chips) - 1, 0)
        width = max(frame.w, total)
        frame.w = width
        if len(chips) == 1 and m.chip:
            chips[0][0].w = total = width
        tall = max((chip.h for chip, _ in chips), default=0)
        block = Block(w=width, h=frame.h + tall, boxes=[frame])
        x = m.grid * ((width - total) // 2 // m.grid)
        for chip, legs in chips:
            chip.x, chip.y = x, frame.h
            chip.h = tall if m.chip else chip.h
            block.boxes.append(chip)
            middle = ports(chip, 1, m)[0]
            block.paths[f"{key}>{chip.node}"] = [(middle, frame.h - m.edge), (middle, frame.h - m.edge)]
            self._leave(block, chip, legs, chip.y + chip.h - m.edge)
            x += chip.w + gap
        return block

    def _grid(self, ends: Sequence[Block], room: int | None) -> list[list[Block]]:
        """Guests column by column, so that one more takes the next free place and moves nobody."""
        if not ends:
            return []
        m = self.m
        width = max(block.w for block in ends)
        height = max(block.h for block in ends)
        for block in ends:
            _widen(block, width, height, m)
        deep = self.deep
        if room is not None:
            fitting = max(1, (room - 2 * m.grid + m.gap) // (width + m.gap))
            deep = max(deep, -(-len(ends) // fitting))
        deep = min(deep, len(ends))
        return [list(ends[row::deep]) for row in range(deep)]

    def _guests_above(self, body: Block, room: int | None) -> Block:
        """Put the guests that stand on several elements above all, with a channel of wires under them."""
        m = self.m
        lanes = {key: way[0][0] for key, way in body.entries.items()}
        blocks = [self._end(key, lanes) for key in self.tree.loose]
        limit = room if room is not None else max(body.w, *(block.w for block in blocks))
        lines = wrap(blocks, gap=m.gap, width=limit)
        if len(lines) == 1:
            wires = {id(block): [lanes[leaving.key] for leaving in block.exits] or [0] for block in blocks}
            lines = [sorted(blocks, key=lambda block: sum(wires[id(block)]) / len(wires[id(block)]))]
            spread(lines[0], [wires[id(block)] for block in lines[0]], limit, m)
        top = rows(lines, m)
        ends = grouped((leaving.key, leaving.x) for leaving in top.exits)
        keys = in_order(sorted(ends, key=lambda key: -lanes[key]), ends, {key: [lanes[key]] for key in ends})
        height = top.h + m.drop + m.track * len(keys)
        body.moved(0, height)
        out = Block(w=max(top.w, body.w), h=height + body.h, exits=body.exits)
        out.take(top)
        out.take(body)
        for leaving in top.exits:
            track = top.h + m.drop // 2 + m.track * keys.index(leaving.key)
            way = body.entries[leaving.key]
            out.extend(leaving, (leaving.x, track), (way[0][0], track), *way)
        return out

    def _framed(self, body: Block) -> Block:
        m = self.m
        behind = self.scene.hosts.get(self.host, "")
        title = f"{self.host} · {behind}" if behind else self.host
        width = max(body.w, m.snap(m.measure(title, True) + m.gap)) + 2 * m.frame_x
        bottom = m.frame_top + body.h
        body.moved(m.frame_x, m.frame_top)
        out = Block(w=width, h=bottom + m.frame_bottom, exits=body.exits)
        out.boxes.append(Box(node="", x=0, y=0, w=width, h=out.h, lines=(title,), shape="frame"))
        out.take(body)
        for leaving in out.exits:
            out.extend(leaving, (leaving.x, out.h))
        return out


def _icon(node: Node, m: Metrics) -> int:
    return m.icon if node.kind is Kind.NIC else 0


def _widen(block: Block, width: int, height: int, m: Metrics) -> None:
    """Make a guest's box as large as its neighbours', with its ports in the middle."""
    taller = height - block.h
    block.moved(m.grid * ((width - block.w) // 2 // m.grid), taller)
    frame = block.boxes[0]
    frame.x, frame.y = 0, 0
    frame.w = width
    frame.h += taller
    if m.chip and len(block.boxes) == 2:
        block.boxes[1].x, block.boxes[1].w = 0, width
    block.w, block.h = width, height


def words_of(node: Node, m: Metrics, notes: Notes) -> tuple[str, ...]:
    """The label, the notes that have room, and the marks that must be seen; long ones stand whole in the details."""
    alone = node.kind in {Kind.MACHINE, Kind.TRANSLATION, Kind.ROUTING}
    wide = SHORT if notes is Notes.SHORT and not alone else m.note_width
    if node.kind is Kind.TRANSLATION:
        wide = DOOR
    written = node.notes
    if notes is Notes.NONE and node.kind not in {Kind.TRANSLATION, Kind.HOST, Kind.MACHINE}:
        written = ()
    if notes is Notes.SHORT and node.kind is Kind.GUEST and not m.edge:
        written = node.brief or written[:1]
    if notes is not Notes.FULL and node.kind is Kind.HOST:
        written = tuple(note.split("/")[0] for note in written)
    return (clip(node.title, m.note_width), *(clip(note, wide) for note in written), *node.marks)


def clip(text: str, width: int) -> str:
    """Cut a text that is too long; the whole stands in the details. Names and addresses differ at their ends."""
    if len(text) <= width:
        return text
    end = 0 if " " in text else (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
