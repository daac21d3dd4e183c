"""Tables that somebody has turned off (``flags dormant``): no frame passes their chains."""

from __future__ import annotations

import re

import msgspec

HAS_FLAGS = re.compile(r'\{"table":\s*\{[^{}]*"flags"')
DORMANT = re.compile(r"^table (\S+) (\S+) \{[^\n]*\n\tflags [^\n]*\bdormant\b", re.MULTILINE)
OF_A_HOOK = {"hook", "type", "prio", "policy", "dev"}


def has_flags(listing: str) -> bool:
    """Whether a table of ``nft -j list ruleset`` has flags; nft 1.0.6 prints them there as a letter of no meaning."""
    return HAS_FLAGS.search(listing) is not None


def without_hooks(listing: str, words: str) -> str:
    """The listing, in which the chains of those that ``words`` (``nft list ruleset``) calls dormant have no hook."""
    asleep = set(DORMANT.findall(words))
    if not asleep:
        return listing
    told = msgspec.json.decode(listing)
    for entry in told["nftables"]:
        chain = entry.get("chain", {})
        if (chain.get("family"), chain.get("table")) in asleep:
            entry["chain"] = {key: value for key, value in chain.items() if key not in OF_A_HOOK}
    return msgspec.json.encode(told).decode()
