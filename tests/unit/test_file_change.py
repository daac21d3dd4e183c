"""What stays of a file of which a part goes keeps its bytes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bascule.plan.file_change import FileChange
from tests.work import assert_linear


@pytest.mark.parametrize("seed", range(40))
def test_each_line_that_stays_has_the_bytes_that_it_had(seed: int) -> None:
    pick = random.Random(seed)
    before = [pick.choice(["auto a", "# é", "# ü x", ""]) for _ in range(pick.randrange(12))]
    after = [line for line in before if pick.random() < 0.7]
    old, new = "\n".join(before), "\n".join(after)
    change = FileChange(path="/etc/x", action="write", old=old, new=new, raw=old.encode("latin-1"))
    assert change.content == new.encode("latin-1")


def test_a_new_line_is_written_as_utf_8() -> None:
    old, new = "# é\nauto a\nauto b", "# é\n# ü\nauto b"
    change = FileChange(path="/etc/x", action="write", old=old, new=new, raw=old.encode("latin-1"))
    assert change.content == "# é\n".encode("latin-1") + "# ü\nauto b".encode()


def test_a_long_file_takes_no_longer_than_it_is() -> None:
    def task(number: int) -> Callable[[], object]:
        old = "".join(f"#\nauto e{n}\niface e{n} inet manual\n" for n in range(number))
        new = old.replace("auto e5\niface e5 inet manual\n", "")
        raw = old.replace("\n", "\r\n").encode()
        change = FileChange(path="/etc/x", action="write", old=old, new=new, raw=raw)
        return lambda: change.content

    assert_linear(task, 800)
