"""IEEE's public registry of organisations where the distribution has it: who made a NIC."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

# Debian's package ieee-data, and hwdata of Fedora and its kin
FILES = (
    (Path("/usr/share/ieee-data/oui.csv"), re.compile(rb'^MA-L,([0-9A-F]{6}),(?:"([^"\n]*)"|([^,\n]*))', re.MULTILINE)),
    (Path("/usr/share/hwdata/oui.txt"), re.compile(rb"^([0-9A-F]{2}-[0-9A-F]{2}-[0-9A-F]{2})\s+\(hex\)\s+(.*)$", re.M)),
)
LONGEST = 40  # characters of a name


def makers(prefixes: Collection[str]) -> Mapping[str, str]:
    """The names to some prefixes (six hexadecimal digits), as the first registry that is installed has them."""
    wanted = {prefix.upper().encode() for prefix in prefixes}
    for path, row in FILES if wanted else ():
        try:
            data = path.read_bytes()
        except OSError:
            continue
        found = {}
        for entry in row.finditer(data):
            prefix = entry[1].replace(b"-", b"")
            if prefix in wanted:
                name = next(filter(None, entry.groups()[1:]), b"").decode("utf-8", "replace").strip()
                found[prefix.decode().lower()] = "".join(sign for sign in name if sign.isprintable())[:LONGEST]
        return found
    return {}
