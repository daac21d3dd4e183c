"""Colours, by the words at the beginning of a line: they repeat what the words say, and never say more."""

from __future__ import annotations

import re
from typing import TextIO

from bascule.cli.show.output_style import colored

RED, GREEN, YELLOW, CYAN, BOLD, DIM = "31", "32", "33", "36", "1", "2"
MARKS = tuple(  # the first that fits a line; what its group has is coloured
    (re.compile(pattern), style)
    for pattern, style in (
        (r"^ *(FAIL|broken:?|differs|problem|error\[[^]]*\]:|NO)(?= )", f"{BOLD};{RED}"),
        (r"^ *(warnings?:?|remark|unknown|unproven|-(?=   ))(?= |$)", YELLOW),
        (r"^ *(ok|checks: \d+ ok|expectations: \d+ hold|fits)(?= |$)", GREEN),
        (r"^(hint:| *fix:?)(?= )", CYAN),
        (r"^(result)(?= )", BOLD),
        (r"^([+](?![+]{2} ).*)$", GREEN),
        (r"^(-(?!-{2} )[^ ].*|- .*)$", RED),
        (r"^(@@ .* @@)", CYAN),
        (r"^( -->.*)$", DIM),
    )
)


def painted(text: str, stream: TextIO) -> str:
    """The text with colours where the stream gets them, else as it is."""
    if not colored(stream):
        return text
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    for pattern, style in MARKS:
        found = pattern.search(line)
        if found is not None:
            start, end = found.span(1)
            return f"{line[:start]}\x1b[{style}m{line[start:end]}\x1b[0m{line[end:]}"
    return line
