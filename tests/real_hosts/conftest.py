from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, open_lab
from tests.real_hosts.field import Field, furnished


@pytest.fixture
def real_host(lab: Lab, tmp_path: Path) -> Field:
    """A lab of its own, for a test that leaves it changed."""
    return furnished(lab, tmp_path)


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One lab for all tests of a file, which only look or take back what they did."""
    with open_lab() as lab:
        yield furnished(lab, tmp_path_factory.mktemp("field"))
