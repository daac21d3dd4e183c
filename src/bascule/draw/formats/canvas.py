"""Character cells with lines in them: wires know in which directions they leave a cell, so corners come by themselves.

Where two wires of different nets cross, the upright one runs through and the other is interrupted: a joint never
looks like a crossing.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from bascule.draw.layout.arrange import Layout
from bascule.draw.layout.blocks import Points

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8

_LIGHT = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_HEAVY = " ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋"
_DASHED = {"│": "╎", "─": "╌"}
_BORDERS: dict[
    str, tuple[str, ...]
] = {  # left-top, top, right-top, side, left-bottom, right-bottom; a wire that leaves at the bottom, or comes in
    "light": tuple("┌─┐│└┘┬┴"),
    "heavy": tuple("┏━┓┃┗┛┳┻"),
    "double": tuple("╔═╗║╚╝╤╧"),
    "dashed": tuple("┌╌┐╎└┘┬┴"),
}
_ASCII = {
    **dict.fromkeys("┌┐└┘├┤┬┴┼╔╗╚╝╤╧┏┓┗┛┣┫┳┻╋┯┷╭╮╰╯╵╷╴╶╹╻╸╺", "+"),
    **dict.fromkeys("│║┃", "|"),
    **dict.fromkeys("╎┊", ":"),
    **dict.fromkeys("─", "-"),
    **dict.fromkeys("═", "="),
    **dict.fromkeys("━", "#"),
    **dict.fromkeys("╌┈", "-"),
    "╍": "~",
    "┅": "*",
    "┄": ".",
    "●": "o",
    "◆": "#",
    "◇": "%",
    "≡": "=",
    "→": ">",
    "…": "~",
    "×": "x",
    "·": "-",
    "–": "-",
    "’": "'",
}


def cells(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else sum(_wide(sign) for sign in text)


def _wide(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1


def plain(text: str) -> str:
    """The same picture in ASCII, each sign in the same column."""
    return "".join(sign if sign.isascii() else _ASCII.get(sign) or _fold(sign) for sign in text)


def _fold(sign: str) -> str:
    base = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return (base or "_" * _wide(sign))[: max(_wide(sign), 1)].ljust(_wide(sign), "_") if _wide(sign) else ""


class Canvas:
    """Rows of cells. Wires first, then network_lines, then boxes: what is drawn later covers what is under it."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.signs: dict[tuple[int, int], str] = {}
        self.nets: dict[tuple[int, int], dict[str, int]] = {}
        self.heavy: set[tuple[int, int]] = set()
        self.dashed: dict[tuple[int, int], bool] = {}

    def wire(self, points: Points, *, net: str, heavy: bool = False, dashed: bool = False) -> None:
        """A wire through its corners. ``net`` is the element that it leads to: wires of one net may join."""
        for (x1, y1), (x2, y2) in pairwise(points):
            if y1 == y2:
                low, high = min(x1, x2), max(x1, x2)
                for x in range(low, high + 1):
                    bits = (LEFT if x > low else 0) | (RIGHT if x < high else 0)
                    self._bits(x, y1, net, bits, heavy=heavy, dashed=dashed)
            else:
                low, high = min(y1, y2), max(y1, y2)
                for y in range(low, high + 1):
                    bits = (UP if y > low else 0) | (DOWN if y < high else 0)
                    self._bits(x1, y, net, bits, heavy=heavy, dashed=dashed)
        if len(points) == 1 or points[0] == points[-1]:
            self._bits(*points[0], net, DOWN, heavy=heavy, dashed=dashed)

    def _bits(self, x: int, y: int, net: str, bits: int, *, heavy: bool, dashed: bool) -> None:
        cell = self.nets.setdefault((x, y), {})
        cell[net] = cell.get(net, 0) | bits
        if heavy:
            self.heavy.add((x, y))
        self.dashed[x, y] = dashed and self.dashed.get((x, y), True)

    def network_line(self, y: int, left: int, right: int, style: str) -> None:
        """A network: its line, with a knot where a wire ends on it and a gap where one only crosses."""
        for x in range(left, right + 1):
            met = self.nets.get((x, y))
            if not met:
                self.signs[x, y] = style
                continue
            bits = 0
            for value in met.values():
                bits |= value
            self.signs[x, y] = ("┃" if (x, y) in self.heavy else "│") if bits & UP and bits & DOWN else "●"

    def join(self, layout: Layout) -> None:
        """Turn the wires into signs, where nothing else stands."""
        for (x, y), met in self.nets.items():
            if (x, y) in self.signs and self.signs[x, y] not in "┄╭╮╰╯┊":
                continue
            bits = 0
            if len(met) > 1:
                upright = [value for value in met.values() if value & (UP | DOWN)]
                bits = upright[0] if upright else next(iter(met.values()))
                for value in upright[1:]:
                    bits |= value
            else:
                bits = next(iter(met.values()))
            sign = (_HEAVY if (x, y) in self.heavy else _LIGHT)[bits]
            self.signs[x, y] = _DASHED.get(sign, sign) if self.dashed.get((x, y)) else sign

    def frame(self, x: int, y: int, w: int, h: int, title: str) -> None:
        """A host's outline."""
        right, bottom = x + w - 1, y + h - 1
        for column in range(x + 1, right):
            self.signs[column, y] = self.signs[column, bottom] = "┄"
        for row in range(y + 1, bottom):
            self.signs[x, row] = self.signs[right, row] = "┊"
        for corner, sign in (((x, y), "╭"), ((right, y), "╮"), ((x, bottom), "╰"), ((right, bottom), "╯")):
            self.signs[corner] = sign
        self.write(x + 2, y, f" {title} ")

    def box(self, x: int, y: int, w: int, h: int, border: str) -> None:
        """A box; a wire that touches its border gets its joint."""
        corner_a, top, corner_b, side, corner_c, corner_d, leaves, enters = _BORDERS[border]
        right, bottom = x + w - 1, y + h - 1
        for row in range(y, bottom + 1):
            for column in range(x, right + 1):
                self.signs[column, row] = " "
        for column in range(x, right + 1):
            above, below = self._touch(column, y), self._touch(column, bottom)
            light = border == "heavy"
            self.signs[column, y] = (
                top if not above & UP else "┷" if light and (column, y) not in self.heavy else enters
            )
            self.signs[column, bottom] = (
                top if not below & DOWN else "┯" if light and (column, bottom) not in self.heavy else leaves
            )
        for row in range(y + 1, bottom):
            self.signs[x, row] = self.signs[right, row] = side
        self.signs[x, y], self.signs[right, y] = corner_a, corner_b
        self.signs[x, bottom], self.signs[right, bottom] = corner_c, corner_d

    def _touch(self, x: int, y: int) -> int:
        bits = 0
        for value in self.nets.get((x, y), {}).values():
            bits |= value
        return bits

    def write(self, x: int, y: int, text: str) -> None:
        """Text from a cell on; a wide sign takes two cells."""
        for sign in text:
            if _wide(sign) == 0:
                continue
            self.signs[x, y] = sign
            if _wide(sign) == 2:
                self.signs[x + 1, y] = ""
            x += _wide(sign)

    def lines(self) -> list[str]:
        """The rows as text."""
        return ["".join(self.signs.get((x, y), " ") for x in range(self.width)) for y in range(self.height)]
