from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.hosts import ADDITION, Bed, furnish
from tests.lab import Lab


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    """The whole host: its own address moves, a guest moves."""
    return furnish(lab, tmp_path)


@pytest.fixture
def addition(lab: Lab, tmp_path: Path) -> Bed:
    """The same host with a file that only adds a bridge."""
    return furnish(lab, tmp_path, ADDITION)
