"""Packages take minutes to build, so that `make test` leaves them to `make vm-test`."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("BASCULE_VM"):
        return
    later = pytest.mark.skip(reason="builds packages, which takes minutes: `make vm-test` runs it")
    for item in items:
        if item.get_closest_marker("vm"):
            item.add_marker(later)
