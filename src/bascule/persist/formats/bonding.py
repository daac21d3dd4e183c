"""The bonding driver's words, which ifcfg, ifupdown, keyfile and netplan share (kernel: networking/bonding.rst)."""

from __future__ import annotations

from typing import Any

from bascule.model.links import Bond
from bascule.model.values import parse_ifname
from bascule.persist.formats.values import parse_number

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
HASHES = ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")
SELECTIONS = ("stable", "bandwidth", "count")
RATES = ("slow", "fast")
ORDER = ("updelay", "downdelay", "xmit_hash_policy", "ad_lacp_rate", "primary", "min_links", "ad_select")


def parse_bond_option(key: str, text: str) -> tuple[str, Any]:
    """A field of model.links.Bond and its value. Raises ValueError for what is not supported."""
    key = key.replace("-", "_")
    if key == "mode":
        return "mode", _word(text, MODES)
    if key == "xmit_hash_policy":
        return key, _word(text, HASHES)
    if key in {"lacp_rate", "ad_lacp_rate"}:
        return "ad_lacp_rate", _word(text, RATES)
    if key == "ad_select":
        return key, _word(text, SELECTIONS)
    if key == "primary":
        return key, str(parse_ifname(text))
    if key in {"miimon", "updelay", "downdelay", "min_links"}:
        return key, parse_number(text)
    raise ValueError(f"the bond option '{key}' is not supported")


def bond_words(options: Bond) -> list[tuple[str, str]]:
    """The driver's own words: mode and link monitoring always, what else is not as the driver has it by itself."""
    said = options.as_json()
    names = Bond.argument_names
    out = [("mode", options.mode), ("miimon", str(options.miimon))]
    return out + [(names.get(field, field), str(said[field])) for field in ORDER if field in said]


def _word(text: str, words: tuple[str, ...]) -> str:
    """The driver takes each word by name or by number."""
    if text in words:
        return text
    if text.isascii() and text.isdigit() and len(text) == 1 and int(text) < len(words):
        return words[int(text)]
    raise ValueError(f"'{text}' is not one of {', '.join(words)}")
