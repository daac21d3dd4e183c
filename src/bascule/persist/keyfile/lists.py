"""Values of NetworkManager's profiles that are lists."""

from __future__ import annotations

from bascule.model.state import PortVlans
from bascule.model.values import parse_vid


def split_list(text: str) -> list[str]:
    """``a;b;``."""
    return [word.strip() for word in text.split(";") if word.strip()]


def parse_vlans(text: str) -> list[PortVlans]:
    """``10 pvid untagged, 20-29``."""
    found = []
    for part in text.replace(";", ",").split(","):
        words = part.split()
        if not words:
            continue
        first, dash, last = words[0].partition("-")
        low, high = parse_vid(first), parse_vid(last) if dash else parse_vid(first)
        if low > high or set(words[1:]) - {"pvid", "untagged"}:
            raise ValueError(f"'{part.strip()}' is not a range of VLANs")
        found.append(PortVlans(first=low, last=high, pvid="pvid" in words, untagged="untagged" in words))
    return found
