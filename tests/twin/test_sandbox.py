"""Nothing that a sandbox makes is visible outside, and nothing is left, however it ends."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bascule.errors import BasculeError, Problem, SiteFault
from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import Privilege, privilege, sandboxed
from tests.patience import HUNG_S, patient
from tests.twin.stage import inside

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
NOBODY = 65534

RAISE = """
import sys, time
from bascule.system.process.sandbox import privilege, sandboxed
from bascule.errors import BasculeError
from bascule.twin import Twin
from tests.twin.sites import production
from tests.twin.stage import apply

def work():
    with Twin.raise_(production()) as twin:
        apply(twin)
        twin.plug_guests()
        twin.start_guests()
        print("up", len(twin.leases), privilege(), flush=True)
        {then}

try:
    sandboxed(work)
except BasculeError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
except KeyboardInterrupt:
    sys.exit(130)
"""


def processes(mark: str) -> list[int]:
    """Those with our mark in their environment, which every child inherits."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


def surroundings() -> dict[str, object]:
    """What the machine shows of itself, apart from processes."""
    return {
        "links": sorted(name for _, name in socket.if_nameindex()),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/pytest-" not in line],
        "netns": sorted(p.name for p in Path("/run/netns").glob("*")),
        "run": sorted(p.name for p in Path("/run").glob("*bascule*")),
        "namespace": Path("/proc/self/ns/net").readlink(),
    }


@contextmanager
def nothing_left() -> Iterator[str]:
    mark = f"BASCULE_MARK={uuid.uuid4()}"
    with on_a_quiet_machine():
        before = surroundings()
        yield mark
        end = time.monotonic() + patient(5)
        while processes(mark) and time.monotonic() < end:
            time.sleep(0.01)
        assert processes(mark) == []
        assert surroundings() == before


@contextmanager
def on_a_quiet_machine() -> Iterator[None]:
    """Where nobody else makes links, as far as we may: a container's may come to a machine at any moment."""
    if os.geteuid() != 0:
        yield
        return
    with Namespace.new("machine") as room, room.entered():
        yield


def start(mark: str, then: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    key, _, value = mark.partition("=")
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return subprocess.Popen(
        (*prefix, sys.executable, "-c", RAISE.replace("{then}", then)),
        env={**os.environ, key: value, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        start_new_session=True,
    )


def skip_without_sandbox() -> None:
    inside(lambda: None)


def test_a_result_comes_back_and_the_inside_is_apart() -> None:
    def look() -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "links": [name for _, name in socket.if_nameindex()],
            "run": [p.name for p in Path("/run").iterdir()],
            "tmp": os.environ["TMPDIR"],
            "first": Path("/proc/1/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes(),
            "kind": privilege(),
        }

    with nothing_left():
        found = inside(look)
    assert found["pid"] == 1 and found["uid"] == 0
    assert found["first"]  # a fresh /proc shows this process as the first
    assert found["links"] == ["lo"]
    assert found["run"] == ["netns"] and found["tmp"] == "/run"
    assert found["kind"] in Privilege
    assert privilege() is None


def test_our_errors_come_through_with_all_their_problems() -> None:
    def fail() -> None:
        raise SiteFault(Problem(code="A", message="one", hint="do this"), Problem(code="B", message="two"))

    with pytest.raises(SiteFault) as caught, nothing_left():
        inside(fail)
    assert [p.code for p in caught.value.problems] == ["A", "B"]
    assert caught.value.problems[0].hint == "do this"


def test_other_errors_keep_their_traceback_as_a_note() -> None:
    def fail() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours") as caught:
        inside(fail)
    assert "in fail" in "".join(caught.value.__notes__)


def test_an_error_that_cannot_travel_is_told_in_words() -> None:
    class Local(Exception):  # a class that pickle cannot find
        pass

    def fail() -> None:
        raise Local("stays here")

    with pytest.raises(RuntimeError, match="Local: stays here"):
        inside(fail)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError, RuntimeError)):
        inside(lambda: lambda: None)


def test_output_passes_through_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    skip_without_sandbox()
    print("before")
    inside(lambda: print("inside"))
    print("after")
    assert capfd.readouterr().out.split() == ["before", "inside", "after"]


def test_big_results_come_back_whole() -> None:
    assert len(inside(lambda: b"x" * 20_000_000)) == 20_000_000


def test_a_sandbox_that_ends_without_a_result_is_an_error_not_a_hang() -> None:
    with pytest.raises(BasculeError, match=r"error\[SANDBOX-KILLED\]: the sandbox was killed before it had a result"):
        inside(lambda: os._exit(9))


@pytest.mark.parametrize(("then", "status"), [("pass", 0), ("raise BasculeError.of('X', 'no')", 1)])
def test_nothing_is_left_after_success_and_failure(then: str, status: int) -> None:
    skip_without_sandbox()
    with nothing_left() as mark:
        process = start(mark, then)
        out, err = process.communicate(timeout=HUNG_S)
        assert (process.returncode, out.startswith("up 1 ")) == (status, True), err


@pytest.mark.parametrize(
    ("number", "to_group"),
    [
        (signal.SIGINT, True),
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGKILL, False),
        (signal.SIGHUP, True),
    ],
)
def test_nothing_is_left_after_a_signal(number: signal.Signals, to_group: bool) -> None:
    skip_without_sandbox()
    with nothing_left() as mark:
        process = start(mark, "time.sleep(60)")
        with process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline().startswith("up 1 ")
            assert len(processes(mark)) >= 4  # itself, supervisor, init, services, dnsmasq: the mark finds them
            (os.killpg if to_group else os.kill)(process.pid, number)
            process.wait(timeout=HUNG_S)
            assert process.stderr.read() == ""
        assert process.returncode == (130 if number is signal.SIGINT else -number)


def test_two_at_once_do_not_disturb_each_other() -> None:
    skip_without_sandbox()
    with nothing_left() as mark:
        both = [start(mark, "time.sleep(0.3)") for _ in range(2)]
        for process in both:
            out, err = process.communicate(timeout=HUNG_S)
            assert (process.returncode, out.startswith("up 1 ")) == (0, True), err


def test_threads_may_have_a_sandbox_each_and_wait_for_their_own_only() -> None:
    skip_without_sandbox()
    with ThreadPoolExecutor(1) as pool:
        (inside, begun), (leave, end) = os.pipe(), os.pipe()
        slow = pool.submit(lambda: sandboxed(lambda: (os.write(begun, b"."), os.read(leave, 1))))
        assert os.read(inside, 1) == b"."
        assert sandboxed(lambda: 1) == 1
        assert not slow.done()
        os.write(end, b".")
        assert slow.result() == (1, b".")
        for fd in (inside, begun, leave, end):
            os.close(fd)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: sandboxed(lambda: n * 2), range(8))) == [n * 2 for n in range(8)]


def as_nobody() -> tuple[str, ...]:
    """Words that drop root's rights; none are needed by an ordinary user."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not here to become an ordinary user")
    words = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    if subprocess.run((*words, sys.executable, "-c", f"open({str(ROOT / 'pyproject.toml')!r})")).returncode:
        pytest.skip("an ordinary user may not read this folder")
    return words


def test_an_ordinary_user_gets_a_user_namespace() -> None:
    with nothing_left() as mark:
        process = start(mark, "pass", as_nobody())
        out, err = process.communicate(timeout=HUNG_S)
        if "SANDBOX-FORBIDDEN" in err:
            pytest.skip(err)
        assert (process.returncode, out) == (0, "up 1 user namespace\n"), err


def test_an_ordinary_user_rehearses_the_production_scenario() -> None:
    words = (*as_nobody(), sys.executable, "-m", "bascule", "rehearse", str(ROOT / "examples" / "production.yaml"))
    with nothing_left() as mark:
        key, _, value = mark.partition("=")
        env = {**os.environ, key: value, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(words, env=env, capture_output=True, text=True, cwd="/", timeout=HUNG_S)
        if "SANDBOX-FORBIDDEN" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "6 expectations hold" in done.stdout


def test_root_needs_no_user_namespace() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert sandboxed(privilege) is Privilege.ROOT


def wrapper(*lines: str) -> tuple[str, ...]:
    """A program that does the lines and then becomes what is behind it."""
    head = "import os, sys, ctypes; libc = ctypes.CDLL(None, use_errno=True)"
    tail = "os.execvp(sys.argv[1], sys.argv[1:])"
    return (sys.executable, "-c", "\n".join((head, *lines, tail)))


def test_forbidden_user_namespaces_are_named_with_the_way_out() -> None:
    # a user namespace of our own in which a user without rights may have none below it
    forbid = wrapper(
        "uid = os.geteuid()",
        "assert libc.unshare(0x10000000) == 0",
        "open('/proc/self/uid_map', 'w').write(f'1000 {uid} 1')",
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')",
    )
    with nothing_left() as mark:
        process = start(mark, "pass", forbid)
        _, err = process.communicate(timeout=HUNG_S)
        if "AssertionError" in err:
            pytest.skip("no user namespace can be made here at all")
        assert process.returncode == 77
        assert "error[SANDBOX-FORBIDDEN]: this kernel allows no throw-away namespaces for user 1000" in err
        assert "hint: run it as root, or allow it (user.max_user_namespaces is 0): sysctl -w" in err
        assert "Traceback" not in err


def test_a_chroot_without_a_mount_of_its_own_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a chroot needs root")
    enter = wrapper(
        "assert libc.unshare(0x00020000) == 0",
        "assert libc.mount(b'none', b'/', None, 0x44000, None) == 0",
        f"top = {str(tmp_path)!r}",
        "names = [n for n in os.listdir('/') if os.path.isdir('/' + n)]",
        "[os.mkdir(top + '/' + n) for n in names]",
        "assert all(libc.mount(b'/' + n.encode(), (top + '/' + n).encode(), None, 0x5000, None) == 0 for n in names)",
        "os.chroot(top)",
        "os.chdir('/')",
    )
    with nothing_left() as mark:
        process = start(mark, "pass", enter)
        _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 77, err
    assert "this is a chroot whose / is not a mount point: 'mount --bind DIR DIR'" in err
    assert "Traceback" not in err


def test_a_read_only_proc_sys_is_one_clear_error() -> None:
    if os.geteuid() != 0:
        pytest.skip("laying a read-only mount over /proc/sys needs root")
    freeze = wrapper(
        "assert libc.unshare(0x00020000) == 0",
        "assert libc.mount(b'none', b'/', None, 0x44000, None) == 0",
        "assert libc.mount(b'/proc/sys', b'/proc/sys', None, 0x1000, None) == 0",
        "assert libc.mount(None, b'/proc/sys', None, 0x1021, None) == 0",
    )
    with nothing_left() as mark:
        process = start(mark, "pass", (*freeze, *as_nobody()))
        _, err = process.communicate(timeout=HUNG_S)
        assert process.returncode == 77, err
        assert "error[SYSCTL-READ-ONLY]: net.ipv4.ip_forward of 'dmz' cannot be set to 1: Read-only file system" in err
        assert "hint: " in err and "Traceback" not in err
        # real root may mount a fresh /proc over it, and gets on
        process = start(mark, "pass", freeze)
        out, err = process.communicate(timeout=HUNG_S)
        assert (process.returncode, out) == (0, "up 1 root\n"), err


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes the pid namespace itself")
def test_what_is_forked_afterwards_is_where_it_was_before() -> None:
    def fails() -> None:
        raise ValueError

    def forked() -> str:
        return subprocess.run(("readlink", "/proc/self/ns/pid"), capture_output=True, text=True).stdout.strip()

    home = str(Path("/proc/self/ns/pid").readlink())
    assert sandboxed(os.getpid) == 1
    assert forked() == home
    assert sandboxed(sandboxed, os.getpid) == 1
    with pytest.raises(ValueError):
        sandboxed(fails)
    assert forked() == home
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: sandboxed(os.getpid), range(8))) == {1}
        assert set(pool.map(lambda _: forked(), range(8))) == {home}
