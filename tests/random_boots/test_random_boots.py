"""A random host of each configuration system in each run of the tests, twelve in ``make soak``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.random_boots.run import CHOICES, faults

pytestmark = pytest.mark.kernel
SEEDS = range(12) if os.environ.get("BASCULE_SOAK") else (2,)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dialect", CHOICES)
def test_what_is_applied_is_there_after_the_next_start_and_comes_back(dialect: str, seed: int, tmp_path: Path) -> None:
    refused: list[str] = []
    assert list(faults(seed, dialect, tmp_path, refused)) == []
    if refused:
        pytest.skip(f"it is refused: {refused[0]}")
