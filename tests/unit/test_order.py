"""What takes longest begins first, and is dealt out among the workers."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONGEST, TESTS, dealt


def test_the_longest_files_are_there() -> None:
    assert [file for file in LONGEST if not Path(TESTS, file).is_file()] == []


def test_each_worker_begins_with_its_share() -> None:
    items = [(file, number) for file in ("a.py", *reversed(LONGEST), "b.py") for number in range(20)]
    found = dealt(items, lambda item: item[0], 2)
    assert sorted(found) == sorted(items)
    half = len(items) // 2
    for share, longest in ((found[:half], LONGEST[::2]), (found[half:], LONGEST[1::2])):
        assert list(dict.fromkeys(file for file, _ in share))[: len(longest)] == list(longest)
        assert [number for file, number in share if file == longest[0]] == list(range(20))


def test_nothing_is_lost_where_there_is_little() -> None:
    for workers in (1, 3, 8):
        for items in ([], [("x.py", 1)], [(LONGEST[3], n) for n in range(5)] + [("x.py", 1)]):
            assert sorted(dealt(items, lambda item: item[0], workers)) == sorted(items)
