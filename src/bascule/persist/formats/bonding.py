"""The bonding driver's words, which ifcfg, ifupdown, keyfile and netplan share (kernel: networking/bonding.rst)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any

from bascule.model.links import BOND_KEYS, Bond
from bascule.model.links.bond import WORDS
from bascule.model.values import parse_ifname
from bascule.persist.formats.values import parse_bool, parse_number

FIELDS = {"lacp_rate": "ad_lacp_rate", "num_grat_arp": "num_peer_notif", "num_unsol_na": "num_peer_notif"}
NUMBERS = frozenset(BOND_KEYS.values()) - WORDS.keys() - {"primary", "arp_ip_target", "all_slaves_active"}


_NAMES = {  # the driver's words but those that are always said
    field: Bond.argument_names.get(field, field) for field in BOND_KEYS.values() if field not in {"mode", "miimon"}
}


def parse_bond_option(key: str, text: str) -> tuple[str, Any]:
    """A field of model.links.Bond and its value. Raises ValueError for what is not supported."""
    key = key.replace("-", "_")
    field = FIELDS.get(key, key)
    if field in WORDS:
        return field, _word(text, WORDS[field])
    if field == "primary":
        return field, str(parse_ifname(text))
    if field == "arp_ip_target":
        return field, tuple(str(IPv4Address(word.lstrip("+"))) for word in re.split(r"[\s,;]+", text) if word)
    if field == "all_slaves_active":
        return field, int(parse_bool(text))
    if field in NUMBERS:
        return field, parse_number(text)
    raise ValueError(f"the bond option '{key}' is not supported")


def bond_words(options: Bond) -> list[tuple[str, str]]:
    """The driver's own words: mode and link monitoring always, what else is not as the driver has it by itself."""
    said = options.as_json()
    watched = [("miimon", str(options.miimon))] if options.miimon or not options.arp_interval else []
    rest = [(name, field_words(said[field])) for field, name in _NAMES.items() if field in said]
    return [("mode", options.mode), *watched, *rest]


def field_words(value: Any) -> str:
    """A value as the driver takes it, several of them with commas."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _word(text: str, words: tuple[str, ...]) -> str:
    """The driver takes each word by name or by number."""
    if text in words:
        return text
    if text.isascii() and text.isdigit() and len(text) == 1 and int(text) < len(words):
        return words[int(text)]
    raise ValueError(f"'{text}' is not one of {', '.join(words)}")
