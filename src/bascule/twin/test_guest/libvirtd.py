"""A libvirtd of our own, without systemd, in a network namespace: for `rehearse --guests libvirt` and for tests.

It sees the host's programs and disks, but its own empty /etc/libvirt, /var/lib/libvirt and /run/libvirt, so that
nothing of the machine's own libvirt is read or written. To be used inside ``system.sandbox.sandboxed``, whose end
ends the daemons and every guest that they started.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from bascule.errors import BasculeError, CommandFailed, MissingTool, NotPermitted
from bascule.system.closing import Closing
from bascule.system.libvirt import Hypervisor, connect
from bascule.system.net.netns import Namespace
from bascule.system.process.subreaper import Subreaper
from bascule.system.process.workers import Daemon
from bascule.system.run import SBIN

NO_ROOT = "a libvirtd of our own needs root"
START_S = 20.0  # measured: 0.5 s on an idle machine
_NEEDED = ("libvirtd", "virtlogd", "qemu-system-x86_64", "dnsmasq")

# sysfs shows the network namespace that it was mounted in, and libvirt looks there for the host's links
_OWN_FOLDERS = """
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
for folder in /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p $folder
    mount -t tmpfs tmpfs $folder
done
if [ -n "$2" ]; then mkdir -p /run/openvswitch; mount --bind "$2" /run/openvswitch; fi
mkdir -p /var/lib/libvirt/dnsmasq /var/lib/libvirt/qemu
cat > /etc/libvirt/libvirtd.conf <<.
unix_sock_dir = "$1"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
.
if [ -n "$3" ]; then hostname "$3"; fi
cat > /etc/libvirt/qemu.conf <<.
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
.
cat > /etc/libvirt/virtlogd.conf <<.
.
ulimit -n 1024
exec virtlogd --pid-file "$1/virtlogd.pid"
"""


def _path() -> str:
    """Where it finds its programs: Debian keeps them in folders that not every PATH of root names."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN))


def missing() -> str | None:
    """Why no libvirtd can be started here; None if it can."""
    gone = [name for name in _NEEDED if shutil.which(name, path=_path()) is None]
    if gone:
        return f"{', '.join(gone)} is not installed: apt-get install libvirt-daemon-system libvirt-clients"
    if os.geteuid() != 0:
        return NO_ROOT
    return None


def require() -> None:
    """See that one can be started. Raises MissingTool or NotPermitted."""
    why = missing()
    if why == NO_ROOT:
        hint = "run it as root; --guests qemu needs no root where everybody may have taps"
        raise NotPermitted.of("LIBVIRTD-ROOT", why, hint=hint)
    if why is not None:
        hint = "apt-get install libvirt-daemon-system libvirt-clients qemu-system-x86 dnsmasq-base"
        raise MissingTool.of("LIBVIRTD-MISSING", why, hint=hint)


class PrivateLibvirt(Closing):
    """libvirtd and virtlogd in a host's namespace. ``uri`` is what to connect to."""

    def __init__(self, namespace: Namespace, folder: Path, switches: Path | None = None, *, hostname: str = "") -> None:
        """Start them, with the sockets of Open vSwitch that are in ``switches``, and wait until they answer.

        Guests move between two of them on one machine where each has a ``hostname`` of its own.
        Raises MissingTool, NotPermitted or CommandFailed.
        """
        require()
        folder.mkdir(parents=True, exist_ok=True)
        self._namespace = namespace
        self._folder = folder
        self.uri = f"qemu+unix:///system?socket={folder}/libvirt-sock"
        named = ("env", f"PATH={_path()}")
        words = ("sh", "-c", _OWN_FOLDERS, "sh", str(folder), str(switches or ""), hostname)
        self._logger = Daemon((*named, "unshare", "--mount", "--uts", *words), namespace, folder / "virtlogd.log")
        self._pid_file = folder / "libvirtd.pid"
        try:
            self._wait((folder / "virtlogd.pid").exists, self._logger)
            # libvirt closes every possible descriptor one by one before it starts a guest: few are quicker
            start = f"ulimit -n 1024; exec libvirtd --pid-file {shlex.quote(str(self._pid_file))}"
            own = (f"--{kind}=/proc/{self._logger.pid}/ns/{name}" for kind, name in (("mount", "mnt"), ("uts", "uts")))
            argv = (*named, "nsenter", *own, "sh", "-c", start)
            self._subreaper = Subreaper(argv, namespace, folder / "libvirtd.log")
        except BaseException:
            self._logger.stop()
            raise
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start libvirtd, also again after it died: it finds the guests that still run."""
        (self._folder / "libvirt-sock").unlink(missing_ok=True)
        self._subreaper.start()
        self._wait(self._answers, self._subreaper)

    def kill(self) -> None:
        """End libvirtd at once, as a crash would; guests and virtlogd live on."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._pid_file.read_text()), signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except BasculeError:
            return False
        return True

    def connect(self) -> Hypervisor:
        """A connection to it."""
        return connect(self.uri)

    def _wait(self, done: Callable[[], bool], program: Daemon | Subreaper) -> None:
        end = time.monotonic() + START_S
        while not done():
            if time.monotonic() > end or (isinstance(program, Daemon) and not program.is_alive):
                words = program.output.strip().splitlines()[-3:] or ["it said nothing"]
                name = "virtlogd" if program is self._logger else "libvirtd"
                raise CommandFailed.of("LIBVIRTD", f"{name} did not start: {'; '.join(words)}")
            time.sleep(0.02)

    def close(self) -> None:
        """Stop the guests and the daemons; what does not stop is left to the end of the sandbox."""
        with contextlib.suppress(BasculeError), contextlib.closing(self.connect()) as hypervisor:
            for domain in hypervisor.domains():
                if domain.running:
                    hypervisor.stop_domain(domain.name)
        self._subreaper.stop()
        self._logger.stop()
