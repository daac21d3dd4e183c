"""Colours and line styles of the SVG. Each network has one of both, so that neither colour nor print is needed.

The twelve colours begin with Okabe and Ito's. They are as far from each other as twelve can be for people with any kind
of colour vision (tests/draw/test_colours.py measures it), and from the grey of wires that belong to no network. Rules
are written out for light and dark instead of through CSS variables, which several SVG viewers do not know.
"""

from __future__ import annotations

LIGHT = (
    *("#0072b2", "#d55e00", "#009e73", "#770077", "#666644", "#8888ee"),
    *("#660000", "#aa88aa", "#3300dd", "#334433", "#bb1100", "#443344"),
)
DARK = (
    *("#56b4e9", "#f08c3c", "#448866", "#ffcccc", "#ffee00", "#7777ff"),
    *("#997700", "#8877aa", "#ccee99", "#bbaa99", "#ff1166", "#aaeeff"),
)
DASHES = (
    *("", "9 4", "2 3", "12 3 2 3", "20 5", "5 9"),
    *("12 3 2 3 2 3", "6 2 6 8", "14 3 5 3", "2 2 2 8", "10 3 2 3 2 3 2 3", "4 2 2 2"),
)


def network_style(number: int | None) -> str:
    """The classes of a network's wires and boxes: a colour with its dashes, from the thirteenth on with others."""
    if number is None:
        return "n"
    again, colour = divmod(number, len(LIGHT))
    return f"n{colour} d{(colour + again) % len(DASHES)}" if again else f"n{colour}"


def _networks(colours: tuple[str, ...]) -> str:
    rules = []
    for number, colour in enumerate(colours):
        rules.append(f".w.n{number},.line.n{number},.box.n{number}{{stroke:{colour}}}")
        rules.append(f".dot.n{number},.band.n{number}{{fill:{colour}}}")
    return "\n".join(rules)


def _dashes() -> str:
    own = [f".w.n{n},.line.n{n}{{stroke-dasharray:{dash}}}" for n, dash in enumerate(DASHES) if dash]
    others = [f".w.d{n},.line.d{n}{{stroke-dasharray:{dash or 'none'}}}" for n, dash in enumerate(DASHES)]
    return "\n".join([*own, *others])


_LIGHT = """.page{fill:#fff}.case{stroke:#fff}.ink{fill:#1b1f24}.soft,.known{fill:#57606a}
.box{fill:#fff;stroke:#57606a}.chip{fill:#f3f5f7;stroke:#8c959f}.bar{fill:#eef3f8}.frame{stroke:#8c959f}
.w{stroke:#57606a}.dot{fill:#57606a}.line{stroke:#57606a}.name{fill:#1b1f24}.band{fill:#8c959f}
.glyph{stroke:#57606a}.stripe{fill:#57606a}
.machine .box{fill:#fbfaf5}.self .box{fill:#f6f8fa}.translation .box{fill:#fff6e0;stroke:#9a6700}
.node.drifted .box,.node.drifted .chip{stroke:#c4162a}.mark,.no{fill:#b3122a}.noline{stroke:#b3122a}
.down .box,.down .chip,.foreign .box,.foreign .chip{fill:#e7eaed}.nocarrier .box,.nocarrier .chip{fill:#fde3e6}
.blocked .box,.blocked .chip{fill:#fff1c9}.isolated .box,.isolated .chip{fill:#e9e2f5}
.wires .w.drifted{stroke:#c4162a}.flow{stroke:#1b1f24}.flowhead{fill:#1b1f24}
.way{stroke:#1b1f24}.node.hot .box,.node.hot .chip{stroke:#1b1f24}.yes{fill:#116329}"""

_DARK = """.page{fill:#0f1318}.case{stroke:#0f1318}.ink{fill:#e6edf3}.soft,.known{fill:#9aa6b2}
.box{fill:#161c23;stroke:#9aa6b2}.chip{fill:#1c242d;stroke:#6e7a86}.bar{fill:#1b2530}.frame{stroke:#55606c}
.w{stroke:#9aa6b2}.dot{fill:#9aa6b2}.line{stroke:#9aa6b2}.name{fill:#e6edf3}.band{fill:#6e7a86}
.glyph{stroke:#9aa6b2}.stripe{fill:#9aa6b2}
.machine .box{fill:#1d1b14}.self .box{fill:#141a20}.translation .box{fill:#2b2310;stroke:#d4a72c}
.node.drifted .box,.node.drifted .chip{stroke:#ff6b78}.mark,.no{fill:#ff8a94}.noline{stroke:#ff8a94}
.down .box,.down .chip,.foreign .box,.foreign .chip{fill:#262d35}.nocarrier .box,.nocarrier .chip{fill:#43191f}
.blocked .box,.blocked .chip{fill:#3b3112}.isolated .box,.isolated .chip{fill:#2d2540}
.wires .w.drifted{stroke:#ff6b78}.flow{stroke:#e6edf3}.flowhead{fill:#e6edf3}
.way{stroke:#e6edf3}.node.hot .box,.node.hot .chip{stroke:#e6edf3}.yes{fill:#2ea043}.node circle.no{fill:#da3633}"""

STYLE = f"""text{{font:11px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace}}
.label{{font-size:13px;font-weight:600}}.title{{font-size:20px;font-weight:600}}
.box,.chip{{stroke-width:1.4}}.frame{{fill:none;stroke-width:1.2;stroke-dasharray:3 3}}
.w,.case,.way{{fill:none;stroke-width:1.8}}.case{{stroke-width:7}}.line{{fill:none;stroke-width:4}}
.glyph{{fill:none;stroke-width:1.2}}.bar{{stroke-width:2.2}}.mark,.known{{font-weight:600}}.flow,.noline{{fill:none;stroke-width:1.6}}
.wanted .box,.wanted .chip{{stroke-dasharray:5 3}}.w.wanted{{stroke-dasharray:3 4}}
.drifted .box,.drifted .chip{{stroke-width:2.6}}.w.drifted{{stroke-width:2.6}}
.dim .node,.dim .wires,.dim .network{{opacity:.28}}.dim .node.hot{{opacity:1}}.dim .network.hot{{opacity:1}}
.sign{{fill:none;stroke:#fff;stroke-width:2.2}}.way{{stroke-width:3.6;stroke-linejoin:round}}
.hot .box,.hot .chip{{stroke-width:2.6}}
.node:hover .box,.node:hover .chip{{stroke-width:3.2}}
{_LIGHT}
{_dashes()}
{_networks(LIGHT)}
@media screen and (prefers-color-scheme:dark){{
{_DARK}
{_networks(DARK)}
}}
@media print{{svg{{width:100%;height:100%}}}}
"""
