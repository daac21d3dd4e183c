"""Run a function where nothing that it makes can be seen from outside, or outlive it.

::

    parent ── waits for the result; kill -9 of it ends all below
      └─ supervisor    where we are not root: in a new user namespace
           └─ init     PID 1 of a new pid namespace, in new mount, network, ipc and uts namespaces: runs the function

A process cannot move itself into a new pid namespace, only its children. Root's own thread does that for the time of
one fork; who is not root would have to be in a new user namespace for that, and stay there: so the supervisor is, for
him. When init ends, the kernel kills every process of its pid namespace, and with the last one the mounts and network
namespaces go.
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
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar

from bascule.errors import BasculeError, NotPermitted
from bascule.system.net.netns import CLONE_NEWNET, call
from bascule.system.process import rights
from bascule.system.process.workers import die_with_parent, fork, is_gone

P = ParamSpec("P")
R = TypeVar("R")

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
_APART = _NEWNS | _NEWUTS | _NEWIPC | CLONE_NEWNET
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
        begin = _Begin(writer=writer, wait=wait, ours=(reader, go, *_ours), work=lambda: function(*args, **kwargs))
        child = _root_forks(begin)
        init = -1 if child is None else os.pidfd_open(child)
        if child is None:
            child = _fork_supervisor(begin)
        os.close(writer)
        os.close(wait)
        for fd in (reader, go):
            _ours.add(fd)
    try:
        with os.fdopen(reader, "rb", closefd=False) as stream:
            if init < 0 and len(head := stream.read(8)) == 8:
                init = os.pidfd_open(int.from_bytes(head, "little"))
            if init >= 0:
                with contextlib.suppress(BrokenPipeError):
                    os.write(go, b"+")  # it waited, so that the number is surely its own
            answer = stream.read()
    finally:
        with _pipes:
            for fd in (reader, go):
                _ours.discard(fd)
                os.close(fd)
        _end(child, init)
    if not answer:
        raise BasculeError.of("SANDBOX-KILLED", "the sandbox was killed before it had a result", hint="run it again")
    ok, value = pickle.loads(answer)
    if ok:
        result: R = value
        return result
    raise value


class _Begin(NamedTuple):
    """What a sandbox begins with: its ends of the pipes, those that are not its own, and what it runs."""

    writer: int
    wait: int
    ours: tuple[int, ...]
    work: Callable[[], Any]


def _root_forks(begin: _Begin) -> int | None:
    """Root's init, forked into a new pid namespace; None where this user may not make one."""
    if os.geteuid() != 0:
        return None
    home = os.pidfd_open(os.getpid())
    try:
        call("setns", home, _NEWPID)  # whoever may not come back does not leave (before Linux 5.8)
        call("unshare", _NEWPID)
    except OSError as refusal:
        os.close(home)
        if refusal.errno in {errno.EPERM, errno.EINVAL}:
            return None
        raise _refused(refusal, 0) from refusal
    init = -1
    try:
        init = fork()
    finally:
        if init != 0:
            call("setns", home, _NEWPID)
            os.close(home)
    if init == 0:
        _as_init(0, home, Privilege.ROOT, begin)
    return init


def _fork_supervisor(begin: _Begin) -> int:
    parent = os.getpid()
    supervisor = fork()
    if supervisor == 0:
        _as_supervisor(parent, begin)
    return supervisor


def _end(child: int, init: int) -> None:
    """Kill what is left, init first: the supervisor ends only after init, and init only after all of its namespace."""
    try:
        if init >= 0:
            signal.pidfd_send_signal(init, signal.SIGKILL)
        else:
            os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        if init >= 0:
            os.close(init)
        os.waitpid(child, 0)


def _as_supervisor(parent: int, begin: _Begin) -> NoReturn:
    try:
        uid = os.geteuid()
        _let_go(begin)
        _unshare_as_user()
        die_with_parent()  # after unshare: new credentials clear it
        if os.getppid() != parent:
            os._exit(1)
        supervisor = os.pidfd_open(os.getpid())
        init = fork()
        if init == 0:
            _as_init(uid, supervisor, Privilege.USER_NAMESPACE, begin)
        os.close(begin.wait)
        os.write(begin.writer, init.to_bytes(8, "little"))
        os.close(begin.writer)
        os.waitpid(init, 0)
    except BaseException as error:  # the last frame of a process: all goes to the parent
        os.write(begin.writer, _no_init() + _pack(error))
    finally:
        os._exit(0)


def _no_init() -> bytes:
    """In place of init's process id: none was made; the parent's own id is never killed by mistake."""
    return os.getpid().to_bytes(8, "little")


def _let_go(begin: _Begin) -> None:
    """Close what is the parent's, and leave Ctrl-C to it: it ends us all. It was forked with the lock held."""
    _pipes.release()
    for fd in begin.ours:
        os.close(fd)
    _ours.clear()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _as_init(uid: int, parent: int, kind: Privilege, begin: _Begin) -> NoReturn:
    """``uid`` is who we were outside, ``parent`` the pidfd of whoever forked us."""
    try:
        if kind is Privilege.ROOT:
            _let_go(begin)
        die_with_parent()
        if is_gone(parent) or os.read(begin.wait, 1) != b"+":
            os._exit(1)
        os.close(parent)
        os.close(begin.wait)
        _unshare(_APART, uid)
        _furnish(uid)
        _made_with.append(kind)
        answer = pickle.dumps((True, begin.work()))
    except BaseException as error:  # the last frame of a process: all goes to the parent
        answer = _pack(error)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        answer = _pack(error)  # a reader that has gone (| head) is the caller's to handle
    finally:
        with os.fdopen(begin.writer, "wb") as stream:
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


def _unshare(flags: int, uid: int) -> None:
    """Leave namespaces. Raises NotPermitted where the kernel allows it to nobody like ``uid``."""
    try:
        call("unshare", flags)
    except OSError as refusal:
        raise _refused(refusal, uid) from refusal


def _unshare_as_user() -> None:
    """Leave the user namespace, in which we are not root, for one in which we are; what is forked now is an init."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_NEWUSER | _NEWPID, uid)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as refusal:
        raise _refused(refusal, uid) from refusal


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
