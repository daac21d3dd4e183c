"""Reading them back."""

from __future__ import annotations

from bascule.model.host_links import Ipv6
from bascule.persist.formats.builder import Builder
from bascule.persist.parsed import Files, Hardware, Parsed


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:
    """The meaning of the file."""
    del hardware
    builder = Builder()
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if not line.startswith("#"):
                name, mode, *addresses = line.split()
                link = builder.draft(name, path, number)
                link.ipv6, link.addresses = Ipv6(mode), addresses
    return builder.finish()
