"""What the pages expect to be there."""

from __future__ import annotations

import pytest

from tests.survey import captures


@pytest.fixture(scope="session", autouse=True)
def made_captures() -> None:
    """As ``make captures`` does, which a page tells first."""
    captures.write()
