"""One reader for each of the kernel's tables: two would answer one question in two ways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.architecture.sources import SOURCE, files, nodes

READERS = {
    ("route", "get"): "system/net/iproute.py",
    ("neigh", "show"): "observe/neighbours.py",
    ("fdb", "show"): "system/net/fdb.py",
}


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each file with the words of the command lines in it."""
    for path in files():
        for node in nodes(path):
            if isinstance(node, ast.Tuple | ast.List):
                words = [one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield str(path.relative_to(SOURCE)), tuple(words)


@pytest.mark.parametrize("words", READERS)
def test_one_file_asks_for_a_table(words: tuple[str, str]) -> None:
    asking = {path for path, command in commands() if words in pairwise(command)}
    assert asking == {READERS[words]}


def test_one_file_opens_packet_sockets() -> None:
    opening = {
        str(path.relative_to(SOURCE))
        for path in files()
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr == "AF_PACKET"
    }
    assert opening == {"system/net/packet.py"}


def test_one_file_reads_what_proc_tells_of_processes() -> None:
    """What QEMU takes of the memory is read below a root of its own; a twin's script is no Python."""
    reading = {
        str(path.relative_to(SOURCE))
        for path in files()
        for node in nodes(path)
        if isinstance(node, ast.Constant) and node.value in {"comm", "cmdline", "environ"}
    }
    assert {path for path in reading if path.startswith(("system/", "observe/", "apply/"))} == {
        "system/process/proc.py",
        "observe/held.py",
        "observe/memory.py",
    }


def test_one_file_asks_what_this_machine_is_called() -> None:
    asking = {
        str(path.relative_to(SOURCE))
        for path in files()
        for node in nodes(path)
        if (isinstance(node, ast.Attribute) and node.attr in {"nodename", "gethostname", "getfqdn"})
        or (isinstance(node, ast.Constant) and node.value in {"etc/hostname", "/etc/hostname"})
        or (isinstance(node, ast.Constant) and node.value == "/proc/sys/kernel/hostname")
    }
    assert asking == {"host/identity.py"}
