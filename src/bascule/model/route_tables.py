"""The names that a host gives to routing tables: the files of iproute2, in which ``NUMBER NAME`` stands on a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

FILES = tuple(  # the host's own words come behind those of the distribution, and win
    f"{folder}/iproute2/{name}"
    for folder in ("usr/share", "usr/lib", "etc")
    for name in ("rt_tables", "rt_tables.d/*.conf")
)
OF_THE_KERNEL = range(253, 256)  # default, main and local, by whatever name


class TableName(Struct, frozen=True):
    """One name with its number and the place where it stands."""

    name: str
    number: int
    file: str
    line: int


def table_names(files: Mapping[str, str]) -> Iterator[TableName]:
    """Those of the files, each by its path and with its text; a line that says something else is passed over.

    Numbers are decimal or, behind 0x, hexadecimal, as rt_names.c of iproute2 reads them.
    """
    for path, text in files.items():
        for line, said in enumerate(text.split("\n"), 1):
            words = said.partition("#")[0].split()
            if len(words) != 2 or not words[0].isascii():
                continue
            try:
                number = int(words[0], 16 if words[0].startswith("0x") else 10)
            except ValueError:
                continue
            if 0 < number < 2**32 and number not in OF_THE_KERNEL:
                yield TableName(words[1], number, path, line)


def numbers(names: Iterable[TableName]) -> dict[str, int]:
    """The number of each name; the last word counts."""
    return {each.name: each.number for each in names}
