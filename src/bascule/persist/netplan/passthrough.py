"""What netplan keeps of a profile of NetworkManager that it has no word for: ``networkmanager: passthrough:``.

A profile that was made in NetworkManager (nmcli, nmtui, a desktop) and that netplan keeps, as on Ubuntu and Raspberry
Pi OS, has its gateway there: netplan has no word for a gateway that stands with an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bascule.persist.formats.builder import LinkDraft, add_gateway
from bascule.persist.formats.values import OPEN_MODES, OWN_IPV6, parse_address
from bascule.persist.netplan.nodes import Node, in_words, pairs, text_of

_IDENTITY = {"uuid", "name", "stable-id", "device"}
_NOTHING = re.compile(  # of what the network is; that a method is manual, the addresses say
    r"connection\.(timestamp|autoconnect-priority|permissions)|[a-z0-9-]+\._|ipv[46]\.(method|may-fail)"
    r"|user\..*"
)
_OF_IPV6 = {"ipv6.addr-gen-mode": OPEN_MODES, "ipv6.ip6-privacy": {"-1"}}  # with the values that change nothing
_ADDRESS = re.compile(r"ipv[46]\.(?:address(?:es)?[0-9]*|gateway)")


def read_passthrough(
    draft: LinkDraft, node: Node, leave: Callable[[Node, str, str], None], passes: Callable[[Node, str], None]
) -> None:
    """Take the gateways; ``leave`` tells a node with its text and why, ``passes`` one that is not about the network."""
    for key, value in pairs(node):
        if key.value in _IDENTITY:
            passes(key, f"{draft.name}: {key.value}: {in_words(value)}")
        elif key.value != "passthrough":
            leave(key, f"{draft.name}: networkmanager: {key.value}: {in_words(value)}", "not taken")
    given = [(key, value) for name, body in pairs(node) if name.value == "passthrough" for key, value in pairs(body)]
    for key, value in given:
        said = f"{draft.name}: passthrough: {key.value}: {in_words(value)}"
        try:
            if _NOTHING.fullmatch(str(key.value)) or text_of(value) in _OF_IPV6.get(key.value, ()):
                passes(key, said)
            elif key.value in _OF_IPV6:
                raise ValueError(OWN_IPV6)
            elif not _ADDRESS.fullmatch(str(key.value)):
                raise ValueError("not taken")
            elif not _with_gateway(draft, text_of(value), alone=key.value.endswith("gateway")):
                raise ValueError("netplan has other addresses for this link")
        except ValueError as wrong:
            leave(key, said, str(wrong))


def _with_gateway(draft: LinkDraft, text: str, *, alone: bool) -> bool:
    """``192.168.1.9/24,192.168.1.1``, or a gateway ``alone``; whether the address is one that netplan has as well."""
    address, _, gateway = ("", "", text) if alone else text.partition(",")
    if gateway and not any(route.gateway == gateway.strip() for route in draft.routes):
        add_gateway(draft, gateway.strip())
    return not address or parse_address(address, "24" if "." in address else "64") in draft.addresses
