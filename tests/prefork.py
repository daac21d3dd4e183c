"""Run the command line in a process that has its modules already.

To start an interpreter and to import is most of what a small verb costs, and the tests run thousands of verbs. So a
process beside this one imports everything once, and each run is a fork of it: a process of its own with the arguments,
variables, folder, streams and namespaces that it is given, which ends as ``python -m bascule`` does. The kernel makes
it a child of whoever asked (CLONE_PARENT), who deals with it as with any program that subprocess has started. What
cannot be had in this way is started as ever: another locale, other settings of Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

import bascule
from bascule.cli import program
from bascule.guests import accelerator
from bascule.system.net.netns import CLONE_NEWNET, Namespace, call
from tests.leftovers import of_this_run

ROOT = Path(__file__).parents[1]
CLONE_NEWNS, CLONE_NEWUTS, CLONE_PARENT = 0x00020000, 0x04000000, 0x00008000  # linux/sched.h
CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())  # the number of that system call
AT_START = ("PYTHON", "LC_", "LANG", "LD_")  # the variables that an interpreter reads when it starts
READY = b"+"
FIRST = 2  # so many runs of a process are started as ever: one that runs few needs nothing beside it

Done = subprocess.CompletedProcess[str]


def run(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, namespace: Namespace | None = None,
    machine: int | None = None,
) -> Done:  # fmt: skip
    """Run a verb to its end with nothing on stdin: in a network namespace, or where this thread is.

    Of a ``machine``, a process by its number, it has the mounts, the network and the name.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*words, env=env, cwd=cwd, namespace=namespace, machine=machine, **pipes) as process:
        try:
            stdout, stderr = process.communicate()
        except BaseException:  # whatever interrupts us ends it
            process.kill()
            raise
    return Done((sys.executable, "-m", "bascule", *words), process.returncode, stdout, stderr)


def start(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, namespace: Namespace | None = None,
    machine: int | None = None, **pipes: Any,
) -> subprocess.Popen[str]:  # fmt: skip
    """Start a verb, as subprocess does: ``pipes`` are its streams, and whether it has a session of its own."""
    argv: tuple[str, ...] = (sys.executable, "-m", "bascule", *words)
    given = dict(os.environ if env is None else env)
    beside = _Beside.mine()
    if beside is not None and beside.is_alike(given):
        return _Fork(beside, _where(namespace, machine), argv, text=True, env=given, cwd=cwd or Path.cwd(), **pipes)
    if machine is not None:
        argv = ("nsenter", f"--target={machine}", "--mount", "--uts", "--net", "--", *argv)
    elif namespace is not None:
        argv = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace.fd}", *argv)
    return subprocess.Popen(argv, text=True, env=given, cwd=cwd, **pipes)


def is_here() -> bool:
    """Whether the next run of this process will be a fork: not one of the first, and not where we may too little."""
    return _Beside.mine() is not None


def _where(namespace: Namespace | None, machine: int | None) -> list[str]:
    """The files of the namespaces to be in: of the network, of the machine's name, of its mounts."""
    whose = f"/proc/{machine}/ns" if machine is not None else "/proc/thread-self/ns"
    return [f"/proc/self/fd/{namespace.fd}" if namespace else f"{whose}/net", f"{whose}/uts", f"{whose}/mnt"]


class _Beside:
    """The process beside this one, as its parent sees it."""

    _of: ClassVar[dict[int, _Beside | None]] = {}  # by process: what a fork of this one inherits is not its own
    _runs: ClassVar[dict[int, int]] = {}

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.env = _first_environment()
        self.door, self.one_at_a_time = ours, threading.Lock()
        with theirs:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "tests.prefork", str(theirs.fileno())), cwd=ROOT, env=self.env,
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip

    @classmethod
    def mine(cls) -> _Beside | None:
        """This process's own; None for its first runs, and where namespaces cannot be entered."""
        pid = os.getpid()
        runs = cls._runs[pid] = cls._runs.get(pid, 0) + 1
        if runs <= FIRST or os.geteuid() != 0 or CLONE is None:
            return None
        if pid not in cls._of:
            beside = cls()
            cls._of[pid] = beside if beside.is_ready() else None
        return cls._of[pid]

    def is_ready(self) -> bool:
        """Wait until it has imported all; False where it may not do what a run needs, and has ended."""
        if self.door.recv(1) == READY:
            return True
        self.door.close()
        self.process.wait()
        return False

    def is_alike(self, env: Mapping[str, str]) -> bool:
        """Whether an interpreter with these variables would start like the one that is there."""
        keys = {key for key in (*env, *self.env) if key.startswith(AT_START)}
        return all(env.get(key) == self.env.get(key) for key in keys)

    def fork(self, request: bytes, streams: list[int], where: list[str]) -> int:
        """Ask for one; the number of what is now a child of ours."""
        with contextlib.ExitStack() as stack:
            for path in where:
                fd = os.open(path, os.O_RDONLY)
                stack.callback(os.close, fd)
                streams = [*streams, fd]
            with self.one_at_a_time:
                socket.send_fds(self.door, [request], streams)
                return int(self.door.recv(64))


class _Fork(subprocess.Popen[str]):
    """A verb that was not started, but forked from the process beside this one."""

    def __init__(self, beside: _Beside, where: list[str], argv: tuple[str, ...], **rest: Any) -> None:
        self._beside, self._where = beside, where
        super().__init__(argv, **rest)

    def _execute_child(self, args: tuple[str, ...], *rest: Any) -> None:
        """What subprocess calls to fork and exec. Its streams are the child's end and ours of each pipe, or -1."""
        pipes, new_session, env, cwd = rest[9:15], bool(rest[-2]), rest[5], rest[4]
        request = Run(words=list(args[3:]), env=env, cwd=str(cwd), new_session=new_session)
        streams = [fd if fd >= 0 else number for number, fd in enumerate((pipes[0], pipes[3], pipes[5]))]
        try:
            text = json.dumps(msgspec.to_builtins(request)).encode("utf-8", "surrogateescape")
            self.pid = self._beside.fork(text, streams, self._where)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # as its own does


def _first_environment() -> dict[str, str]:
    words = Path("/proc/self/environ").read_bytes().split(b"\0")
    first = dict(word.decode(errors="surrogateescape").partition("=")[::2] for word in words if word)
    first.pop("PYTHONDONTWRITEBYTECODE", None)  # as tests/conftest.py does
    return first


# ---- the process beside


class Run(Struct):
    """What a run is given; its streams and namespaces are descriptors."""

    words: list[str]
    env: dict[str, str]
    cwd: str
    new_session: bool = False


def serve(door: socket.socket) -> tuple[Run, list[int]] | None:
    """Fork for each request until nobody is left who could ask. Returns in the fork, with what it is to run."""
    while True:
        message, fds, _, _ = socket.recv_fds(door, 1 << 20, 8)
        if not message:
            return None
        pid = _sibling()
        if pid == 0:
            return msgspec.json.decode(message, type=Run), fds
        for fd in fds:
            os.close(fd)
        door.send(str(pid).encode())


def _sibling() -> int:
    """As os.fork(), but the new process is a child of our parent, who can wait for it."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = ctypes.PyDLL(None, use_errno=True).syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return pid


def become(run: Run, fds: list[int]) -> None:
    """Be a process that was just started so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as bascule.__main__ has it until there is a verb
    if run.new_session:
        os.setsid()
    for fd, kind in zip(fds[3:], (CLONE_NEWNET, CLONE_NEWUTS), strict=False):
        call("setns", fd, kind)
    if os.fstat(fds[5]).st_ino != Path("/proc/self/ns/mnt").stat().st_ino:  # it would lead out of a chroot
        call("setns", fds[5], CLONE_NEWNS)
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    os.chdir(run.cwd)
    os.environ.clear()
    os.environ.update(run.env)
    sys.path[0] = run.cwd
    sys.argv = [str(Path(bascule.__file__).with_name("__main__.py")), *run.words]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def remembered(ask: Callable[[], str | None]) -> Callable[[], str | None]:
    """What the first run finds out, in a file: a probe guest costs two seconds where KVM is there and does not work."""
    found = of_this_run("kvm")

    def answer() -> str | None:
        if not found.exists():
            half = found.with_suffix(f".{os.getpid()}")
            half.write_text(ask() or "")
            half.rename(found)
        return found.read_text() or None

    return answer


def main() -> None:
    """Import all of it, then be each run that is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; the end of the door is for us
    try:
        call("unshare", CLONE_NEWNET)  # no test's namespace lives on with us
    except PermissionError:
        return  # a root that may not: whoever asks starts its runs as ever
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # as the program does before it imports pydantic
    for module in pkgutil.walk_packages(bascule.__path__, "bascule."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    accelerator.why_no_kvm = remembered(accelerator.why_no_kvm)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as door:
        door.send(READY)
        asked = serve(door)
    if asked:
        become(*asked)
        program()


if __name__ == "__main__":
    main()
