"""The file system of the full machine: a small Debian with systemd and the managers that keep a network over a reboot.

debootstrap makes it once, which needs root; the cache keeps it. All managers are in it and none is enabled.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

from tests.vm.lab.cache import ROOT, Unavailable, call, folder, tool
from tests.vm.lab.kernel import FIRST, Kernel
from tests.vm.lab.machine import pack_first

SUITE, PYTHON = "bookworm", "3.11"
MIRROR = os.environ.get("BASCULE_DEBIAN_MIRROR", "")  # debootstrap has one of its own
PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "python3", "iproute2", "nftables", "ethtool", "iputils-ping"),
    *(
        "libpam-systemd",
        "network-manager",
        "netplan.io",
        "ifupdown",
        "bridge-utils",
        "vlan",
        "ifenslave",
        "isc-dhcp-client",
        "openvswitch-switch",
    ),
)
UNITS_OFF = (
    *("systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service"),
    *("NetworkManager.service", "NetworkManager-wait-online.service", "NetworkManager-dispatcher.service"),
    *("networking.service", "ifupdown-pre.service", "wpa_supplicant.service", "ModemManager.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "systemd-tmpfiles-clean.timer", "systemd-timesyncd.service", "console-setup.service"),
    *("keyboard-setup.service", "systemd-pstore.service", "openvswitch-switch.service"),
)
MASKED = (
    *("systemd-journal-flush.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
    *("getty.target", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "systemd-random-seed.service"),
    *("systemd-udev-settle.service", "modprobe@.service", "systemd-binfmt.service", "systemd-logind.service"),
)
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/zoneinfo",
)
SPARE_MB = 96

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
for module in {modules}; do /bin/busybox insmod /modules/$module.ko || echo "init: no $module"; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox poweroff -f
for each in proc sys dev; do /bin/busybox mount -o move /$each /root/$each; done
exec /bin/busybox switch_root /root /sbin/init
"""

# after everything, so that the boot is the one that a host makes
JOB = """[Unit]
Description=The lab's job
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh /opt/job
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=graphical.target
"""
# the first boot ends in the loop: the machine is kept like that, and its job comes on the second disk when it goes on
WAITS = "waits for a job"
JOB_SCRIPT = f"""cd /project 2>/dev/null || {{
    echo "{WAITS}" >/dev/ttyS1
    until blockdev --flushbufs /dev/vdb && head -c 512 /dev/vdb | grep -aq ustar; do sleep 0.2; done
    mkdir -p /project && cd /project && tar xf /dev/vdb --warning=no-timestamp
    date -s "@$(cat vm-clock)"
}}
. ./vm-job || {{ echo "machine: the job failed"; systemctl poweroff --force; }}
"""


MOST_S = 7200  # a machine with other work to do unpacks for half an hour


def key(kernel: Kernel) -> str:
    """What the file system is made from: if this text changes, it is another."""
    return "\n".join((Path(__file__).read_text(), kernel.version, *_dependencies()))


def make(kernel: Kernel, half: Path, initrd: Path, disk: Path) -> None:
    """The first root file system (cpio) and the disk (ext4). Raises Unavailable with the reason."""
    if os.geteuid() != 0:
        raise Unavailable("making the Debian machine needs root, once (debootstrap): run `make vm-test` as root")
    programs = {"init": INIT.format(modules=" ".join(FIRST)).encode()}
    programs["bin/busybox"] = Path(tool("busybox", "busybox-static")).read_bytes()
    pack_first(
        half / "first", programs | {f"modules/{name}.ko": kernel.module(name).read_bytes() for name in FIRST}, initrd
    )
    tree = half / "tree"
    _bootstrap(tree)
    _libraries(tree, _dependencies())
    _settle(tree, kernel)
    _pack(tree, disk)


def _dependencies() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def _bootstrap(tree: Path) -> None:
    make = tool("debootstrap", "debootstrap")
    cache = folder("debs")
    # it mounts /proc in the tree: where it is ended half-way, that goes with it, and is not deleted with the tree
    call(
        *(tool("unshare", "util-linux"), "--mount", "--pid", "--fork", "--kill-child"),
        *(make, "--variant=minbase", f"--cache-dir={cache}", f"--include={','.join(PACKAGES)}"),
        *(SUITE, str(tree), *([MIRROR] if MIRROR else [])),
        timeout_s=MOST_S,
    )


def _libraries(tree: Path, dependencies: list[str]) -> None:
    """What Bascule needs of Python, for the machine's Python and not for ours."""
    call(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", tree / "opt/lib"),
        *("--python-version", PYTHON, "--only-binary=:all:", *dependencies),
    )


def _settle(tree: Path, kernel: Kernel) -> None:
    shutil.copytree(kernel.root / "lib/modules", tree / "lib/modules", dirs_exist_ok=True)
    call(tool("chroot", "coreutils"), tree, "/sbin/depmod", kernel.version)
    call(tool("chroot", "coreutils"), tree, "/usr/bin/python3", "-m", "compileall", "-q", "/opt/lib")
    for part in LEFT_OUT:
        shutil.rmtree(tree / part, ignore_errors=True)
        (tree / part).mkdir(parents=True, exist_ok=True)
    (tree / "etc/hostname").write_text("vmserver\n")
    (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
    (tree / "etc/network/interfaces").write_text(
        "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*\n"
    )
    (tree / "etc/machine-id").write_text("00000000000000000000000000000001\n")
    (tree / "etc/systemd/system/lab-job.service").write_text(JOB)
    (tree / "opt/job").write_text(JOB_SCRIPT)
    for unit in UNITS_OFF:
        call("systemctl", f"--root={tree}", "disable", unit, timeout_s=60) if _has(tree, unit) else None
    for unit in MASKED:
        call("systemctl", f"--root={tree}", "mask", unit, timeout_s=60)
    call("systemctl", f"--root={tree}", "enable", "lab-job.service")


def _has(tree: Path, unit: str) -> bool:
    return any((tree / where / unit).exists() for where in ("lib/systemd/system", "usr/lib/systemd/system"))


def _pack(tree: Path, target: Path) -> None:
    size = sum(path.lstat().st_size + 4096 for path in tree.rglob("*") if not path.is_symlink()) // (1 << 20)
    call(
        tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", "-m", "0", "-d", tree, target, f"{int(size * 1.1) + SPARE_MB}M"
    )
