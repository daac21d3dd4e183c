"""Twelve networks have twelve colours that any eye can tell apart, on white and on black, and twelve line styles.

Colour blindness is simulated after Machado, Oliveira and Fernandes (2009) at full severity; how far two colours are
from each other is CIEDE2000 (ISO/CIE 11664-6): 2 is a difference that a trained eye sees, 10 one that is seen at a
glance.
"""

from __future__ import annotations

import re
from itertools import combinations
from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

import pytest

from bascule.draw.formats.style import DARK, DASHES, LIGHT, STYLE

Triple = tuple[float, float, float]
EYES: dict[str, tuple[Triple, Triple, Triple]] = {
    "common": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
THEMES = {"light": (LIGHT, "#57606a", "#ffffff"), "dark": (DARK, "#9aa6b2", "#0f1318")}  # colours, plain wire, page


def linear(colour: str) -> Triple:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def lab(rgb: Triple) -> Triple:
    def root(part: float) -> float:
        return part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116

    red, green, blue = rgb
    x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047)
    y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: str, eye: str) -> Triple:
    rgb = linear(colour)
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, rgb, strict=True)))) for row in EYES[eye])
    return lab((red, green, blue))


def difference(one: Triple, other: Triple) -> float:
    """CIEDE2000."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (hypot(a1, b1) + hypot(a2, b2)) / 2
    grow = 1.5 - 0.5 * sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = hypot(a1 * grow, b1), hypot(a2 * grow, b2)
    h1, h2 = degrees(atan2(b1, a1 * grow)) % 360, degrees(atan2(b2, a2 * grow)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    hue = (h1 + turn / 2) % 360
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * cos(radians(hue - 30)) + 0.24 * cos(radians(2 * hue))
    t += 0.32 * cos(radians(3 * hue + 6)) - 0.2 * cos(radians(4 * hue - 63))
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * sqrt(c1 * c2) * sin(radians(turn / 2)) / (1 + 0.015 * chroma * t)
    bend = 2 * sqrt(chroma**7 / (chroma**7 + 25**7)) * sin(radians(60 * exp(-(((hue - 275) / 25) ** 2))))
    return sqrt(dl**2 + dc**2 + dh**2 - bend * dc * dh)


def contrast(one: str, other: str) -> float:
    """WCAG 2's, from 1 to 21."""
    dark, bright = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (one, other)
    )
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("eye", EYES)
def test_any_eye_tells_twelve_networks_apart(theme: str, eye: str) -> None:
    colours, plain, _ = THEMES[theme]
    assert len(colours) == 12
    near = {(a, b): difference(seen(a, eye), seen(b, eye)) for a, b in combinations((*colours, plain), 2)}
    assert {pair: far for pair, far in near.items() if far < 10} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_each_stands_out_from_the_page(theme: str) -> None:
    colours, _, page = THEMES[theme]
    assert {colour for colour in colours if contrast(colour, page) < 3} == set()  # WCAG 2.1, 1.4.11


def test_words_are_not_written_in_the_colours_of_networks() -> None:
    """A line needs a contrast of 3, small print 4.5: WCAG 2.1, 1.4.3."""
    assert not re.search(r"\.name\.n\d", STYLE)
    for theme, ink in (("light", "#1b1f24"), ("dark", "#e6edf3")):
        assert f".name{{fill:{ink}}}" in STYLE
        assert contrast(ink, THEMES[theme][2]) >= 4.5


def test_each_has_a_line_style_of_its_own() -> None:
    assert len(set(DASHES)) == len(DASHES) == 12


def test_the_measure_is_the_standards() -> None:
    """Pairs of the data by which implementations of CIEDE2000 are tested (Sharma, Wu and Dalal 2005)."""
    assert difference((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert difference((50, 2.5, 0), (61, -5, 29)) == pytest.approx(22.8977, abs=1e-4)
    assert difference((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619)) == pytest.approx(2.0373, abs=1e-4)
