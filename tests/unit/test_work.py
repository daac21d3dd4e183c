"""The counter that proves work linear sees what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.work import assert_linear, work


def each_once(number: int) -> Callable[[], object]:
    return lambda: [abs(item) for item in range(number)]


def each_with_each(number: int) -> Callable[[], object]:
    return lambda: [abs(one - other) for one in range(number) for other in range(number)]


def each_with_each_in_a_loop_without_a_call(number: int) -> Callable[[], object]:
    def loop() -> None:
        total = 0
        for one in range(number):
            for other in range(number):
                total += one ^ other

    return loop


def test_what_is_linear_passes_and_what_is_quadratic_does_not() -> None:
    assert_linear(each_once, 400)
    for task in (each_with_each, each_with_each_in_a_loop_without_a_call):
        with pytest.raises(AssertionError, match="steps for 400"):
            assert_linear(task, 400)


def test_the_same_work_counts_the_same() -> None:
    assert work(each_once(100)) == work(each_once(100)) > 100
