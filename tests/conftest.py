from __future__ import annotations

import compileall
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, open_lab

SRC = Path(__file__).parents[1] / "src"

# the programs that tests start keep their bytecode, as a user's do: without it each of them compiles the whole project
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# whoever runs the tests in the background may have these ignored, and what tests start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the project once, before hundreds of programs start from it; the workers find it done."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(str(SRC), quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What boots machines or builds packages takes minutes: `make test` leaves it to `make vm-test`."""
    later = pytest.mark.skip(reason="boots machines or builds packages, which takes minutes: `make vm-test` runs it")
    for item in items if not os.environ.get("BASCULE_VM") else ():
        if item.get_closest_marker("vm"):
            item.add_marker(later)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened
