"""A few random hosts in each run of the tests, a hundred in ``make soak``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.random_hosts.run import faults

pytestmark = pytest.mark.kernel
HOSTS = 100 if os.environ.get("BASCULE_SOAK") else 6


@pytest.mark.parametrize("seed", [123, *range(1000, 1000 + HOSTS)])
def test_what_is_changed_comes_back(seed: int, tmp_path: Path) -> None:
    refused: list[str] = []
    assert list(faults(seed, tmp_path, refused)) == []
    if refused:
        pytest.skip(f"it is refused: {refused[0]}")
