from __future__ import annotations

import compileall
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from bascule.system.net.netns import call
from bascule.system.process.workers import fork
from tests.lab import CLONE_NEWUTS, Lab, open_lab
from tests.leftovers import end_with_this_process

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # no test fails for the slowness of a machine

T = TypeVar("T")
TESTS = Path(__file__).parent
SRC = TESTS.parent / "src"
LONGEST = (  # files that take a worker half a minute and more, the longest first: real guests, leases, kill points
    "guards/test_real_guests.py", "twin/test_real_guests.py", "apply/test_guests.py", "persist/test_leases.py",
    "guests/test_verbs.py", "persist/test_takeover.py", "apply/test_lease.py", "apply/test_crash.py",
    "survey/test_live.py", "codes/test_guests.py", "apply/test_old_guests.py", "guests/test_libvirt.py",
    "apply/test_random.py", "guards/test_migration.py", "real_hosts/test_d10_spanning_tree.py",
    "oracle/test_random_hosts.py", "docs/test_commands.py",
    "apply/test_boot_crash.py", "apply/test_verbs.py", "persist/test_readers.py",
    "providers/test_real_libvirt.py", "guests/test_virtual_network.py", "guests/test_libvirt_networks.py",
)  # fmt: skip

# the programs that tests start keep their bytecode, as a user's do: without it each of them compiles the whole project
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# whoever runs the tests in the background may have these ignored, and what tests start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


# a disk is brought to hold each checkpoint and each file, thousands of times; this one has nothing to bring
MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes that must be free there
NAME = "tests-run-here"  # of the machine that the tests are on: no site file has it


def pytest_configure(config: pytest.Config) -> None:
    """Compile the project once, before hundreds of programs start from it; the workers find it done.

    What a site file says of a host must not meet a machine that happens to be called so.
    """
    if not hasattr(config, "workerinput"):
        end_with_this_process()
        compileall.compile_dir(str(SRC), quiet=2)
        if config.getoption("numprocesses", None):
            _rewrite_asserts()
        if _is_roomy(MEMORY):
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # a root that may not
            call("unshare", CLONE_NEWUTS)
            socket.sethostname(NAME)


def _rewrite_asserts() -> None:
    """Have pytest rewrite the tests that it has not seen yet: the workers would each do that, all at once, for all.

    It does so where a test is imported, which is most of what a worker does before its first test.
    """
    new = [path for path in sorted(TESTS.rglob("test_*.py")) if not _is_rewritten(path)]
    shares = [new[number :: os.cpu_count() or 1] for number in range(os.cpu_count() or 1)]
    children = []
    for share in filter(None, shares):
        if (child := fork()) == 0:
            _import(share)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def _is_rewritten(path: Path) -> bool:
    written = path.parent.glob(
        f"__pycache__/{path.stem}.{sys.implementation.cache_tag}-pytest-{pytest.__version__}.pyc"
    )
    return any(one.stat().st_mtime > path.stat().st_mtime for one in written)


def _import(paths: Sequence[Path]) -> None:
    sys.dont_write_bytecode = False  # what it is for
    for path in paths:
        with contextlib.suppress(BaseException):  # the worker that runs it tells
            importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))


def _is_roomy(folder: Path) -> bool:
    """Whether the tests' own folders may be there: programs of theirs run from them."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    disk = os.statvfs(folder)
    return not disk.f_flag & os.ST_NOEXEC and disk.f_bavail * disk.f_frsize > ROOM


@pytest.fixture(autouse=True)
def _stays_where_it_is() -> Iterator[None]:
    """A test leaves this process on the machine and in the network where it was, for the next one."""
    before = _whereabouts()
    yield
    assert _whereabouts() == before, "the test did not come back from where it went"


def _whereabouts() -> list[str]:
    kinds = [str(Path("/proc/thread-self/ns", kind).readlink()) for kind in ("net", "uts", "mnt")]
    return [*kinds, os.uname().nodename]


@pytest.hookimpl(trylast=True)  # in the order that fixtures want
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What boots machines or builds packages takes minutes: `make test` leaves it to `make vm-test`."""
    later = pytest.mark.skip(reason="boots machines or builds packages, which takes minutes: `make vm-test` runs it")
    for item in items if not os.environ.get("BASCULE_VM") else ():
        if item.get_closest_marker("vm"):
            item.add_marker(later)
    if hasattr(config, "workerinput"):
        items[:] = dealt(items, lambda item: str(item.path.relative_to(TESTS)), config.workerinput["workercount"])


def dealt(items: Sequence[T], file_of: Callable[[T], str], workers: int) -> list[T]:
    """The items in an order in which each worker has its share of what takes longest, and begins with it.

    The scheduler deals them out by number, in their order, and moves what is left when one has nothing more to do.
    """
    long: dict[str, list[T]] = {file: [] for file in LONGEST}
    rest: deque[T] = deque()
    for item in items:
        long.get(file_of(item), rest).append(item)
    found: list[T] = []
    files = list(long.values())
    for worker in range(workers):
        share = [item for file in files[worker::workers] for item in file]
        left = len(items) - len(found)
        found += share
        found += [rest.popleft() for _ in range(min(len(rest), left // (workers - worker) - len(share)))]
    return [*found, *rest]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened
