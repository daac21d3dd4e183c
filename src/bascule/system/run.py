"""The one way to run another program."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from bascule.errors import CommandFailed, MissingTool, NotPermitted, Problem
from bascule.system.closing import Closing
from bascule.system.net.netns import Namespace

HUNG_S = 300.0  # a program that has not ended by then hangs; on a busy machine systemctl alone took over a minute


PACKAGES = {  # the package that brings a tool: Debian/Ubuntu, Fedora/RHEL, SUSE
    "ip": ("iproute2", "iproute", "iproute2"),
    "bridge": ("iproute2", "iproute", "iproute2"),
    "tc": ("iproute2", "iproute-tc", "iproute2"),
    "nft": ("nftables", "nftables", "nftables"),
    "ethtool": ("ethtool", "ethtool", "ethtool"),
    "dnsmasq": ("dnsmasq-base", "dnsmasq", "dnsmasq"),
    **dict.fromkeys(
        ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovsdb-client"),
        ("openvswitch-switch", "openvswitch", "openvswitch"),
    ),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-system-x86-core", "qemu-x86"),
}

UNKNOWN_TO_KERNEL = "Protocol not supported"  # EPROTONOSUPPORT: a netlink family without its module
SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # not in an ordinary user's PATH on Debian


class Result(Struct, frozen=True):
    """What a program left behind."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def find_tool(name: str) -> str:
    """The path of a program.

    Raises MissingTool with the packages that bring it.
    """
    path = os.environ.get("PATH", os.defpath)
    # an empty or bare PATH is taken at its word; only the system's own sbin folders are added to a usable one
    found = shutil.which(name, path=os.pathsep.join((path, *SBIN)) if "/bin" in path else path)
    if found:
        return found
    debian, fedora, suse = PACKAGES.get(name, (name, name, name))
    raise MissingTool.of(
        "TOOL-MISSING",
        f"'{name}' is not in PATH ({path or 'empty'})",
        hint=f"install it: apt-get install {debian}, dnf install {fedora} or zypper install {suse}",
    )


def require_tools(names: Iterable[str]) -> None:
    """See that all are here. Raises MissingTool with every one that is not."""
    problems: list[Problem] = []
    for name in names:
        try:
            find_tool(name)
        except MissingTool as missing:
            problems += missing.problems
    if problems:
        raise MissingTool(*problems)


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    namespace: Namespace | None = None,
    check: bool = True,
    timeout_s: float = HUNG_S,
    keep: Sequence[int] = (),
) -> Result:
    """Run a program to its end, in another network namespace if one is given, and take its text.

    ``keep`` are descriptors that the program inherits: a lock that must hold for as long as it runs.
    Raises MissingTool, NotPermitted, or CommandFailed (unless ``check`` is False) with the program's own words.
    """
    command = (find_tool(argv[0]), *argv[1:])
    with contextlib.ExitStack() as stack:
        if namespace:
            stack.enter_context(namespace.entered())
        source = subprocess.DEVNULL if stdin is None else stack.enter_context(_whole(stdin))
        try:
            done = subprocess.run(
                command,
                stdin=source,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout_s,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
                pass_fds=tuple(keep),
            )
        except subprocess.TimeoutExpired as late:
            raise CommandFailed.of("COMMAND-SLOW", f"'{' '.join(argv)}' did not end within {timeout_s:g} s") from late
    result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
    if check and result.status != 0:
        raise failure(result)
    return result


@contextlib.contextmanager
def _whole(text: str) -> Iterator[int]:
    """A file in memory to read from.

    Through a pipe, a program whose writer is killed would take half a line for a whole one, and run it.
    """
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:  # it has no path
            file.write(text.encode())
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def rows(argv: Sequence[str], *, namespace: Namespace | None = None, check: bool = True) -> list[dict[str, Any]]:
    """The rows that a tool of iproute2 prints as JSON: none where it prints nothing; one that it left empty is none.

    Raises as ``run`` does, and ValueError for what is no JSON.
    """
    return read_rows(run(argv, namespace=namespace, check=check).stdout)


def read_rows(text: str) -> list[dict[str, Any]]:
    """The same of what was printed already. Raises ValueError for what is no JSON."""
    return [row for row in json.loads(text or "[]") if row]


def run_all(
    commands: Iterable[Sequence[str]],
    *,
    namespace: Namespace | None = None,
    timeout_s: float = HUNG_S,
) -> list[str]:
    """Run several programs side by side and take what each prints on stdout.

    Raises as ``run`` does, for the first that failed.
    """
    with Running(commands, namespace=namespace) as running:
        return running.texts(timeout_s)


class Running(Closing):
    """Programs that run side by side; they print into memory and never wait for us.

    Those that still run are killed on the way out. The text of an ``optional`` tool is empty where it is
    missing, may not be used, or finds its part of the kernel missing; of a command that is, the whole line, nothing is
    told that it says against it.
    """

    __slots__ = ("_optional", "_programs")

    def __init__(
        self,
        commands: Iterable[Sequence[str]],
        *,
        namespace: Namespace | None = None,
        optional: Container[str | Sequence[str]] = (),
    ) -> None:
        self._optional = optional
        self._programs: list[tuple[Sequence[str], _Started | MissingTool]] = []
        try:
            with namespace.entered() if namespace else contextlib.nullcontext():
                for argv in commands:
                    self._programs.append((argv, _start(argv)))
        except BaseException:
            self.close()
            raise

    def texts(self, timeout_s: float = HUNG_S) -> list[str]:
        """What each printed, when all have ended. Raises as ``run`` does, for the first that failed."""
        until = time.monotonic() + timeout_s
        return [self._text(argv, program, until) for argv, program in self._programs]

    def _text(self, argv: Sequence[str], program: _Started | MissingTool, until: float) -> str:
        if isinstance(program, MissingTool):
            if argv[0] not in self._optional:
                raise program
            return ""
        status, stdout, stderr = program.end(until - time.monotonic())
        if status and tuple(argv) not in self._optional:
            error = failure(Result(tuple(argv), status, stdout, stderr))
            if argv[0] not in self._optional or not (isinstance(error, NotPermitted) or UNKNOWN_TO_KERNEL in stderr):
                raise error
        return stdout

    def close(self) -> None:
        """End what still runs."""
        for _, program in self._programs:
            if isinstance(program, _Started):
                program.close()
        self._programs.clear()


def _start(argv: Sequence[str]) -> _Started | MissingTool:
    try:
        return _Started((find_tool(argv[0]), *argv[1:]))
    except MissingTool as missing:
        return missing


class _Started:
    """A program that prints into memory."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = argv
        self.files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr")]
        try:
            out, err = self.files
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, "LC_ALL": "C"}
            )
        except BaseException:
            self._forget()
            raise

    def end(self, patience_s: float) -> tuple[int, str, str]:
        """Its exit status, and what it printed. Raises CommandFailed when it does not end in time."""
        try:
            _wait(self.process, max(patience_s, 0.0))
        except subprocess.TimeoutExpired as late:
            words = " ".join(self.argv)
            raise CommandFailed.of("COMMAND-SLOW", f"'{words}' did not end in time") from late
        out, err = (self._text(file) for file in self.files)
        return self.process.returncode, out, err

    @staticmethod
    def _text(file: int) -> str:
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def close(self) -> None:
        """End it, if it still runs, and forget what it printed."""
        self.process.kill()
        self.process.wait()
        self._forget()

    def _forget(self) -> None:
        for file in self.files:
            os.close(file)


def _wait(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Until it ends. Popen.wait with a limit looks every 50 ms; a kernel before 5.3 has nothing better."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        process.wait(patience_s)
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(patience_s * 1000):
            raise subprocess.TimeoutExpired(process.args, patience_s)
    finally:
        os.close(pidfd)
    process.wait()


def failure(result: Result) -> NotPermitted | CommandFailed:
    """The error for a program that did not succeed."""
    words = result.stderr.strip() or result.stdout.strip() or f"exit status {result.status}"
    command = " ".join(result.argv)
    if "Operation not permitted" in words or "Permission denied" in words:
        return NotPermitted.of(
            "NOT-PERMITTED", f"'{command}' was refused: {words.splitlines()[0]}", hint="run it as root"
        )
    return CommandFailed.of("COMMAND-FAILED", f"'{command}' failed: {words}")
