"""The table of decoders as Markdown: ``python -m bascule.frames.reference > docs/reference/decoders.md``."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.frames.control_filter import control_filter
from bascule.frames.decoder import Decoder
from bascule.frames.decoders import DECODERS

HEAD = """# Decoders

What `bascule survey` understands, in the order of `frames/decoders/__init__.py`. This page is made from the code by
`python -m bascule.frames.reference`; a test holds them together. How the evidence is weighed stands in
[what a frame proves](../explanation/what-a-frame-proves.md).

| protocol | found by | proves | weight | written from |
|---|---|---|---|---|
"""

TAIL = """
802.1Q, 802.1ad and the older 0x9100 and 0x9200 tags are taken off before, up to four of them; a tag on any frame
proves that its VLAN is on the wire. The kernel filter lets these protocols through and nothing else ({size}
instructions of classic BPF, of which a TCP frame passes about a dozen); data frames never reach Python.

A frame that breaks its protocol is counted under `skipped` with the reason, and says nothing else.
"""


def as_markdown(decoders: Sequence[Decoder] = DECODERS) -> str:
    """The page."""
    rows = [
        f"| {decoder.title} | {decoder.where} | {decoder.proves} | {decoder.weight} | {decoder.source} |"
        for decoder in decoders
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL.format(size=len(control_filter(decoders)))


if __name__ == "__main__":
    print(as_markdown(), end="")
