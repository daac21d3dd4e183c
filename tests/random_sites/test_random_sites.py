"""A few random sites in each run of the tests, hundreds in ``make soak``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.random_sites.run import faults

pytestmark = pytest.mark.kernel
SITES = 200 if os.environ.get("BASCULE_SOAK") else 12


@pytest.mark.parametrize("seed", range(1000, 1000 + SITES))
def test_model_and_frames_agree(seed: int, tmp_path: Path) -> None:
    if shutil.which("ovs-vswitchd") is None:
        pytest.skip("Open vSwitch is not installed")
    assert list(faults(seed, tmp_path)) == []
