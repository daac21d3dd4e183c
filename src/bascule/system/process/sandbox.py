"""Run a function where nothing that it makes can be seen from outside, or outlive it.

::

    parent ── waits for the result; kill -9 of it ends all below
      └─ supervisor    new user (when not root), mount, network, pid, ipc and uts namespaces
           └─ init     PID 1 of the pid namespace: runs the function

The supervisor exists because a process cannot move itself into a new pid namespace, only its children. When init ends,
the kernel kills every process of its pid namespace, and with the last one the mounts and network namespaces go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

from bascule.errors import BasculeError, NotPermitted
from bascule.system.net.netns import CLONE_NEWNET, call
from bascule.system.process import rights
from bascule.system.process.workers import die_with_parent, fork, is_gone

P = ParamSpec("P")
R = TypeVar("R")

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
_APART = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | CLONE_NEWNET
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000


class Privilege(StrEnum):
    """Whose rights a sandbox is made with."""

    ROOT = "root"
    USER_NAMESPACE = "user namespace"


_made_with: list[Privilege] = []  # one entry inside of a sandbox, the last of nested ones


DESCRIPTORS = 1 << 18  # one per guest and served port; not the most there can be, some daemons close them one by one
_KEPT = (Path("/run/current-system"), Path("/run/booted-system"))  # NixOS keeps its programs behind these links
_pipes = threading.Lock()  # held while pipes are made and processes forked
_ours: set[int] = set()  # our ends of the pipes of all sandboxes that run now


def privilege() -> Privilege | None:
    """From inside: whose rights it is made with; None outside of one."""
    return _made_with[-1] if _made_with else None


def sandboxed(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The function's result, computed in a sandbox; its exceptions come through, its output goes where ours goes.

    The result must be picklable. Inside, ``/run`` is empty and private, ``TMPDIR`` points into it, and there is one
    network namespace with nothing but ``lo``. Root needs no user namespace; others get one in which they are root.

    Raises NotPermitted where the kernel allows neither.
    """
    with _pipes:  # a sandbox that another thread starts now would keep our ends open, and we would wait for it
        (reader, writer), (wait, go) = os.pipe(), os.pipe()
        parent = os.getpid()
        supervisor = fork()
        if supervisor == 0:
            os.close(reader)
            os.close(go)
            _as_supervisor(parent, writer, wait, lambda: function(*args, **kwargs))
        os.close(writer)
        os.close(wait)
        for fd in (reader, go):
            _ours.add(fd)
    init = -1
    try:
        with os.fdopen(reader, "rb", closefd=False) as stream:
            head = stream.read(8)
            if len(head) == 8:
                init = os.pidfd_open(int.from_bytes(head, "little"))
                with contextlib.suppress(BrokenPipeError):
                    os.write(go, b"+")  # it waited, so that the number is surely its own
            answer = stream.read()
    finally:
        with _pipes:
            for fd in (reader, go):
                _ours.discard(fd)
                os.close(fd)
        _end(supervisor, init)
    if not answer:
        raise BasculeError.of("SANDBOX-KILLED", "the sandbox was killed before it had a result", hint="run it again")
    ok, value = pickle.loads(answer)
    if ok:
        result: R = value
        return result
    raise value


def _end(supervisor: int, init: int) -> None:
    """Kill what is left, init first: the supervisor ends only after init, and init only after all of its namespace."""
    try:
        if init >= 0:
            signal.pidfd_send_signal(init, signal.SIGKILL)
        else:
            os.kill(supervisor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        if init >= 0:
            os.close(init)
        os.waitpid(supervisor, 0)


def _as_supervisor(parent: int, writer: int, wait: int, work: Callable[[], Any]) -> NoReturn:
    try:
        for fd in _ours:
            os.close(fd)  # of other threads' sandboxes
        _ours.clear()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends us all
        uid = os.geteuid()
        kind = _unshare()
        die_with_parent()  # after unshare: new credentials clear it
        if os.getppid() != parent:
            os._exit(1)
        supervisor = os.pidfd_open(os.getpid())
        init = fork()
        if init == 0:
            _as_init(uid, supervisor, writer, wait, kind, work)
        os.close(wait)
        os.write(writer, init.to_bytes(8, "little"))
        os.close(writer)
        os.waitpid(init, 0)
    except BaseException as error:  # the last frame of a process: all goes to the parent
        os.write(writer, _no_init() + _pack(error))
    finally:
        os._exit(0)


def _no_init() -> bytes:
    """In place of init's process id: none was made; the parent's own id is never killed by mistake."""
    return os.getpid().to_bytes(8, "little")


def _as_init(uid: int, supervisor: int, writer: int, wait: int, kind: Privilege, work: Callable[[], Any]) -> NoReturn:
    try:
        die_with_parent()
        if is_gone(supervisor) or os.read(wait, 1) != b"+":
            os._exit(1)
        os.close(supervisor)
        os.close(wait)
        _furnish(uid)
        _made_with.append(kind)
        answer = pickle.dumps((True, work()))
    except BaseException as error:  # the last frame of a process: all goes to the parent
        answer = _pack(error)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        answer = _pack(error)  # a reader that has gone (| head) is the caller's to handle
    finally:
        with os.fdopen(writer, "wb") as stream:
            stream.write(answer)
        os._exit(0)


def _pack(error: BaseException) -> bytes:
    if not isinstance(error, BasculeError | OSError | KeyboardInterrupt):
        error.add_note("in the sandbox:\n" + "".join(traceback.format_exception(error)))
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)
    except Exception:  # an exception class of any library may refuse in any way
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return answer


def _unshare() -> Privilege:
    """Leave all namespaces: with root's rights where they are there, else in a new user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            call("unshare", _APART)
        except OSError as refusal:
            if refusal.errno != errno.EPERM:
                raise _refused(refusal, uid) from refusal
        else:
            return Privilege.ROOT
    try:
        call("unshare", _NEWUSER | _APART)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as refusal:
        raise _refused(refusal, uid) from refusal
    return Privilege.USER_NAMESPACE


_GATES = (  # a sysctl, the value that forbids, and what to do
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=1000"),
    ("user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=1000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def _refused(refusal: OSError, uid: int) -> OSError | NotPermitted:
    if refusal.errno not in {errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS}:
        return refusal
    root = uid == 0
    words = [] if root else ["run it as root"]
    for key, forbids, remedy in _GATES:
        try:
            value = Path("/proc/sys", key).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            words.append(f"or allow it ({key.replace('/', '.')} is {value}): {remedy}")
    if refusal.errno == errno.EINVAL and not _is_mount_point(Path("/")):
        words = ["this is a chroot whose / is not a mount point: 'mount --bind DIR DIR' before it is entered"]
    elif root:
        words.append(rights.hint(["SYS_ADMIN"]))
    return NotPermitted.of(
        "SANDBOX-FORBIDDEN",
        "this kernel allows no throw-away namespaces for "
        + ("this root" if root else f"user {uid}")
        + f": {os.strerror(refusal.errno or 0)}",
        hint=", ".join(words).removeprefix("or "),
    )


def _is_mount_point(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return True


def _furnish(uid: int) -> None:
    """Private mounts, a /proc that shows the new pid namespace, an empty /run; ``uid`` is who we were outside."""
    kept = {path: path.readlink() for path in _KEPT if path.is_symlink()}
    try:
        call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        call("mount", b"tmpfs", b"/run", b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=755")
    except OSError as refusal:
        raise _refused(refusal, uid) from refusal  # AppArmor lets a user namespace be made, and then nothing in it
    for path, target in kept.items():
        path.symlink_to(target)
    with contextlib.suppress(OSError):
        # containers that mask parts of /proc refuse it; the old one shows our processes under their outer ids
        call("mount", b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None)
    Path("/run/netns").mkdir(mode=0o755)
    os.environ["TMPDIR"] = "/run"
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= now < DESCRIPTORS:
        enough = min(DESCRIPTORS, most) if most >= 0 else DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
