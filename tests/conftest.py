from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, open_lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened
