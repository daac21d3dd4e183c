"""Who a link is to a DHCP server: what stays the same when its lease goes on under another link's name."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import force_setattr

BY_MAC, BY_IAID = "01", "ff"  # the first byte of option 61: RFC 2132 section 9.14 (Ethernet), RFC 4361 section 6.1

MACHINES_OWN = "00020000ab11"  # DUID-EN with systemd's number; networkd makes the rest of it from /etc/machine-id

_DUID = re.compile(r"([0-9a-f]{2}){3,130}")  # RFC 8415 section 11.1: two bytes of type, at most 128 behind
_IDENTIFIER = re.compile(r"ff([0-9a-f]{8})(000[1-4]([0-9a-f]{2}){1,128})")  # the types of DUIDs that there are


class ClientId(Struct, frozen=True, kw_only=True):
    """What a DHCP client says of itself, as far as it would not make the same up on another link.

    ``by_mac``: its DHCPv4 identifier is the MAC, else it is put together from IAID and DUID. ``iaid`` counts for
    DHCPv6 as well, as systemd.network(5)'s does. ``duid`` is hexadecimal, empty for the machine's own.
    """

    by_mac: bool = False
    iaid: int | None = None
    duid: str = ""

    def __post_init__(self) -> None:
        if self.by_mac and self.duid:
            force_setattr(self, "duid", "")

    @classmethod
    def of(cls, identifier: str) -> ClientId | None:
        """From option 61 in hexadecimal, with or without colons; None for one of another form."""
        text = identifier.strip().lower().replace(":", "")
        if text.startswith(BY_MAC) and len(text) == 14:
            return cls(by_mac=True)
        found = _IDENTIFIER.fullmatch(text)
        return cls(iaid=int(found[1], 16), duid=found[2]) if found else None

    @classmethod
    def of_lease(cls, identifier: str, iaid: str) -> ClientId | None:
        """From option 61 of a lease and the IAID for DHCPv6, both in hexadecimal, "" for what is not known."""
        said = cls.of(identifier)
        if said is not None and said.by_mac:
            return cls(by_mac=True, iaid=int(iaid, 16) if iaid else None)  # which then counts for DHCPv6 alone
        return cls(iaid=said.iaid) if said is not None and said.duid.startswith(MACHINES_OWN) else said

    @property
    def identifier(self) -> str:
        """Option 61 in hexadecimal, where both IAID and DUID are known."""
        return f"{BY_IAID}{self.iaid:08x}{self.duid}" if self.iaid is not None and self.duid else ""

    def __str__(self) -> str:
        words = ["its MAC"] if self.by_mac else []
        words += [f"IAID {self.iaid}"] if self.iaid is not None else []
        return " and ".join([*words, *([f"DUID {colons(self.duid)}"] if self.duid else [])])


def colons(text: str) -> str:
    """Hexadecimal with a colon between the bytes."""
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


def parse_duid(text: str) -> str:
    """A DUID in hexadecimal, with or without colons, in the one spelling. Raises ValueError."""
    plain = text.strip().lower().replace(":", "")
    if not _DUID.fullmatch(plain):
        raise ValueError(f"'{text}' is not a DUID in hexadecimal")
    return plain
