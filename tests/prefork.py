"""Run the command line in a process that has its modules already.

To start an interpreter and to import is most of what a small verb costs, and the tests run thousands of verbs. So a
process beside this one imports everything once, and each run is a fork of it: a process of its own with the arguments,
variables, folder, streams and namespaces that it is given, which ends as ``python -m bascule`` does. What cannot be had
in this way is started as ever: another locale, other settings of Python, another mount namespace.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec import Struct

import bascule
from bascule.cli import program
from bascule.system.net.netns import CLONE_NEWNET, Namespace, call

ROOT = Path(__file__).parents[1]
CLONE_NEWUTS = 0x04000000  # linux/sched.h
AT_START = ("PYTHON", "LC_", "LANG", "LD_")  # the variables that an interpreter reads when it starts
READY = b"+"
FIRST = 2  # so many runs of a process are started as ever: one that runs few needs nothing beside it

Done = subprocess.CompletedProcess[str]


def run(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, namespace: Namespace | None = None
) -> Done:
    """Run a verb to its end with nothing on stdin: in a network namespace, or where this thread is."""
    given = dict(os.environ if env is None else env)
    beside = _Beside.mine()
    if beside is None or not beside.is_alike(given):
        enter = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace.fd}") if namespace else ()
        return subprocess.run(
            (*enter, sys.executable, "-m", "bascule", *words), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env=given, cwd=cwd,
        )  # fmt: skip
    return beside.run(words, given, cwd or Path.cwd(), namespace)


def is_here() -> bool:
    """Whether the next run of this process will be a fork: not one of the first, and not where we may too little."""
    return _Beside.mine() is not None


class _Beside:
    """The process beside this one, as its parent sees it."""

    _of: ClassVar[dict[int, _Beside | None]] = {}  # by process: what a fork of this one inherits is not its own
    _runs: ClassVar[dict[int, int]] = {}

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.env = _first_environment()
        self.door = ours
        with theirs:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "tests.prefork", str(theirs.fileno())), cwd=ROOT, env=self.env,
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        self.mounts = _mounts()

    @classmethod
    def mine(cls) -> _Beside | None:
        """This process's own; None for its first runs, and where namespaces cannot be entered."""
        pid = os.getpid()
        runs = cls._runs[pid] = cls._runs.get(pid, 0) + 1
        if runs <= FIRST or os.geteuid() != 0:
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
        return all(env.get(key) == self.env.get(key) for key in keys) and self.mounts == _mounts()

    def run(self, words: tuple[str, ...], env: dict[str, str], cwd: Path, namespace: Namespace | None) -> Done:
        """One verb to its end; whatever interrupts us ends it."""
        request = json.dumps({"words": words, "env": env, "cwd": str(cwd)}).encode("utf-8", "surrogateescape")
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(ours)
            out, err = (_pipe(stack) for _ in range(2))
            given = [theirs.fileno(), os.open(os.devnull, os.O_RDONLY), out[1], err[1]]
            given.append(namespace.fd if namespace else os.open("/proc/thread-self/ns/net", os.O_RDONLY))
            given.append(os.open("/proc/thread-self/ns/uts", os.O_RDONLY))
            try:
                socket.send_fds(self.door, [request], given)
            finally:
                theirs.close()
                for fd in (given[1], out[1], err[1], given[5], *(() if namespace else (given[4],))):
                    os.close(fd)
            pid = int(ours.recv(64))
            try:
                stdout, stderr = _read(out[0], err[0])
                status = int(ours.recv(64))
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise
        return Done((sys.executable, "-m", "bascule", *words), status, _text(stdout), _text(stderr))


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    return reader, writer


def _read(*readers: int) -> list[bytes]:
    """All that comes from some pipes until their ends."""
    found: dict[int, list[bytes]] = {reader: [] for reader in readers}
    with selectors.DefaultSelector() as waiting:
        for reader in readers:
            waiting.register(reader, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                piece = os.read(key.fd, 1 << 16)
                found[key.fd].append(piece)
                if not piece:
                    waiting.unregister(key.fd)
    return [b"".join(found[reader]) for reader in readers]


def _text(data: bytes) -> str:
    """As subprocess reads it."""
    return io.TextIOWrapper(io.BytesIO(data)).read()


def _first_environment() -> dict[str, str]:
    words = Path("/proc/self/environ").read_bytes().split(b"\0")
    first = dict(word.decode(errors="surrogateescape").partition("=")[::2] for word in words if word)
    first.pop("PYTHONDONTWRITEBYTECODE", None)  # as tests/conftest.py does
    return first


def _mounts() -> tuple[int, int]:
    status = Path("/proc/thread-self/ns/mnt").stat()
    return status.st_dev, status.st_ino


# ---- the process beside


class Run(Struct):
    """What a run is given; its streams, its network namespace and its name's are descriptors."""

    words: list[str]
    env: dict[str, str]
    cwd: str


def serve(door: socket.socket) -> tuple[Run, list[int]] | None:
    """Fork for each request until nobody is left who could ask. Returns in the fork, with what it is to run."""
    while True:
        message, fds, _, _ = socket.recv_fds(door, 1 << 20, 8)
        if not message:
            return None
        if os.fork() == 0:
            return msgspec.json.decode(message, type=Run), _watched(fds)
        for fd in fds:
            os.close(fd)


def _watched(fds: list[int]) -> list[int]:
    """Return in a fork that is the run; the process between tells its number, waits for it and tells its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answer, *others = fds
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        return others
    for fd in others:
        os.close(fd)
    with contextlib.suppress(OSError):  # whoever asked has gone
        os.write(answer, str(pid).encode())
        status = os.waitpid(pid, 0)[1]
        os.write(answer, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(run: Run, fds: list[int]) -> None:
    """Be a process that was just started so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fd, kind in zip(fds[3:], (CLONE_NEWNET, CLONE_NEWUTS), strict=True):
        call("setns", fd, kind)
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


def main() -> None:
    """Import all of it, then be each run that is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; the end of the door is for us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a run
    try:
        call("unshare", CLONE_NEWNET)  # no test's namespace lives on with us
    except PermissionError:
        return  # a root that may not: whoever asks starts its runs as ever
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # as the program does before it imports pydantic
    for module in pkgutil.walk_packages(bascule.__path__, "bascule."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
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
