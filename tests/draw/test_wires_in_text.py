"""The wires that a reader can follow in the text picture are those of the site, at every width."""

from __future__ import annotations

import re

import pytest

from bascule.draw import draw
from bascule.model.site import Site
from tests.draw import sites

Cell = tuple[int, int]  # row, column
UP, DOWN, LEFT, RIGHT = (-1, 0), (1, 0), (0, -1), (0, 1)
OPENS = {
    "│": (UP, DOWN), "─": (LEFT, RIGHT), "┌": (RIGHT, DOWN), "┐": (LEFT, DOWN), "└": (RIGHT, UP), "┘": (LEFT, UP),
    "├": (UP, DOWN, RIGHT), "┤": (UP, DOWN, LEFT), "┬": (LEFT, RIGHT, DOWN), "┴": (LEFT, RIGHT, UP),
    "┼": (UP, DOWN, LEFT, RIGHT),
}  # fmt: skip
BOX = re.compile(r"[┌╔][─═┬┴╧╤]+[┐╗]")


class Picture:
    """The characters, the boxes by their cells, and the networks by their row."""

    def __init__(self, text: str) -> None:
        self.lines = text.partition("\nfrom the top:")[0].splitlines()
        self.boxes: dict[Cell, str] = {}
        self.ports: list[tuple[Cell, tuple[int, int]]] = []
        self.network_lines: dict[int, str] = {}
        for row, line in enumerate(self.lines):
            if "●" in line:
                self.network_lines[row] = "".join(re.findall(r" ([\w.-]+) ", line)[:1])
            for found in BOX.finditer(line):
                self._box(row, found.start(), found.end())

    def _box(self, top: int, left: int, end: int) -> None:
        sides = {"┌": "│", "╔": "║"}[self.lines[top][left]]
        below = top + 1
        if self.at(below, left) != sides or self.at(below, end - 1) != sides:
            return  # two corners of a wire
        while self.at(below, left) == sides:
            below += 1
        name = self.lines[top + 1][left + 1 : end - 1].split()[0]
        for row in range(top, below + 1):
            self.boxes |= {(row, column): name for column in range(left, end)}
        self.ports += [((top, column), UP) for column in range(left, end) if self.at(top, column) in "┴╧"]
        self.ports += [((below, column), DOWN) for column in range(left, end) if self.at(below, column) in "┬╤"]

    def at(self, row: int, column: int) -> str:
        return self.lines[row][column] if 0 <= row < len(self.lines) and 0 <= column < len(self.lines[row]) else " "

    def end_of(self, port: Cell, way: tuple[int, int]) -> set[str]:
        """What hangs on the wire that leaves a port."""
        found, seen, open_ends = {self.boxes[port]}, set(), [(port, way)]
        while open_ends:
            (row, column), way = open_ends.pop()
            row, column = row + way[0], column + way[1]
            if ((row, column), way) in seen:
                continue
            seen.add(((row, column), way))
            char = self.at(row, column)
            if (row, column) in self.boxes:
                found.add(self.boxes[row, column])
            elif char == "●" and row in self.network_lines:
                found.add(self.network_lines[row])
            else:
                assert char != " ", f"a wire of {self.boxes[port]} ends in line {row}"
                back = (-way[0], -way[1])
                turns = OPENS.get(char, ())
                on = [turn for turn in turns if turn != back] if back in turns else [way]  # it crosses, or has a label
                open_ends += [((row, column), turn) for turn in on]
        return found


def wired(site: Site) -> set[frozenset[str]]:
    """Each wire of the site, by the names at its two ends."""
    pairs = set()
    for host in site.hosts.values():
        for bridge in host.bridges.values():
            pairs.add(frozenset((str(bridge.name), str(bridge.uplink))))
        for nic in host.nics.values():
            if nic.addresses:
                pairs.add(frozenset((host.name, str(nic.name))))
            if nic.network:
                pairs.add(frozenset((str(nic.name), nic.network)))
    pairs |= {frozenset((guest.name, nic.into)) for guest in site.guests.values() for nic in guest.nics}
    pairs |= {frozenset((m.name, nic.network)) for m in site.machines.values() for nic in m.nics if nic.network}
    return pairs


def outlined(text: str, site: Site) -> set[frozenset[str]]:
    """The wires of an outline: what stands under each other, and ``to`` a network."""
    known = {*site.guests, *site.machines, *site.networks, *site.hosts}
    known |= {str(link.name) for host in site.hosts.values() for link in host.links()}
    pairs: set[frozenset[str]] = set()
    parents: dict[int, str] = {}
    last = 0
    for line in text.splitlines():
        indent, (name, *words) = len(line) - len(line.lstrip()), line.split() or ("",)
        if (name not in known and name not in {"networks", "machines"}) or indent > last + 2:
            continue  # the second line of a box
        parents[indent], last = name, indent
        above = parents.get(indent - 2, "")
        if indent > 2 and above in known:
            pairs.add(frozenset((name, above)))
        if words[:1] == ["to"]:
            pairs.add(frozenset((name, words[1])))
    return pairs


@pytest.mark.parametrize("widths", [range(40, 80), range(80, 121)], ids=["narrow", "wide"])
@pytest.mark.parametrize("site", [sites.production()], ids=["production"])
def test_every_wire_can_be_followed(site: Site, widths: range) -> None:
    expected = wired(site)
    for width in widths:
        drawn = draw(site, width=width, collapse=None)
        if "●" not in drawn:  # no room for boxes: the outline
            assert outlined(drawn, site) == expected, width
            continue
        picture = Picture(drawn)
        nets = {frozenset(picture.end_of(port, way)) for port, way in picture.ports}
        shown = {pair for pair in expected if any(pair <= net for net in nets)}
        assert shown == expected, (width, expected - shown)
        for net in nets:  # whatever joins leads to one thing that all of it is wired to
            assert any(all(frozenset((hub, other)) in expected for other in net - {hub}) for hub in net), (width, net)
