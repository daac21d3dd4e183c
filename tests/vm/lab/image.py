"""The file system of the fast machine: this machine's own Python, tools and libraries, copied where they are.

What runs inside is therefore what runs outside, under another kernel. Nothing here needs root.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from tests.vm.lab.cache import ROOT, Unavailable, alone, call, folder, forget, scratch, tool
from tests.vm.lab.kernel import FIRST, Kernel
from tests.vm.lab.machine import pack_first

TOOLS = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "dnsmasq": "dnsmasq-base",
    "ethtool": "ethtool",
    "sysctl": "procps",
    "dash": "dash",
}
DATA = ("/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2", "/etc/protocols", "/etc/services")
LEFT_OUT = (
    "mypy",
    "mypyc",
    "ruff",
    "pip",
    "setuptools",
    "grimp",
    "libcst",
    "lxml",
    "*__mypyc*.so",
    "*-stubs",
    "types_*",
)
STDLIB_LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "config-*",
    "site-packages",
    "*.a",
)
SPARE_MB = 48
VENV = Path("/venv")  # where the environment of the tests is in the machine, wherever the checkout's is

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /low /new
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
for module in {modules}; do /bin/busybox insmod /modules/$module.ko || echo "init: no $module"; done
/bin/busybox mount -t ext4 -o ro /dev/vda /low
/bin/busybox mount -t tmpfs none /new
/bin/busybox mkdir /new/up /new/work /new/root
/bin/busybox mount -t overlay -o lowerdir=/low,upperdir=/new/up,workdir=/new/work none /new/root
for each in proc sys dev; do
    /bin/busybox mkdir -p /new/root/$each
    /bin/busybox mount -o move /$each /new/root/$each
done
exec /bin/busybox switch_root /new/root /bin/sh /start
"""

# the project arrives as a tar on the second disk; the result leaves on the second serial line
START = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mkdir -p /root /var/tmp /var/lib/misc /project
for each in /run /tmp /dev/shm; do
    mkdir -p $each
    [ "$(ls -A $each)" ] || mount -t tmpfs none $each # unless this machine's Python stands there
done
echo /sbin/modprobe >/proc/sys/kernel/modprobe
modprobe tun
ip link set lo up
cd /project && tar xf /dev/vdb
sh ./vm-job
echo "machine: done"
poweroff -f
"""


def image(kernel: Kernel) -> tuple[Path, Path]:
    """The first root file system (cpio) and the disk (ext4), built when anything in them has changed."""
    busybox = Path(tool("busybox", "busybox-static"))
    if b"/lib64/ld-linux" in busybox.read_bytes()[:4096]:
        raise Unavailable("the machine's first program must be a static busybox: apt-get install busybox-static")
    tools = {name: Path(tool(name, package)) for name, package in TOOLS.items()}
    place = folder("image")
    digest = sha256("\n".join((*FIRST, kernel.version, *_versions(tools.values()))).encode()).hexdigest()[:16]
    initrd, disk = place / f"{digest}.cpio", place / f"{digest}.ext4"
    with alone(place):
        if not disk.exists():
            forget(place)
            with scratch(place) as half:
                _first(half / "first", busybox, kernel, half / "initrd")
                tree = half / "tree"
                _furnish(tree, busybox, kernel, tools)
                _pack(tree, half / "disk")
                (half / "initrd").rename(initrd)
                (half / "disk").rename(disk)
    return initrd, disk


def _versions(tools: Iterable[Path]) -> Iterator[str]:
    yield sys.version
    yield sys.base_prefix  # it lies at its own path: a machine made for another Python would not find this one
    yield platform.platform()
    yield Path(__file__).read_text()
    for each in tools:
        real = each.resolve()
        yield f"{real} {real.stat().st_size} {real.stat().st_mtime_ns}"
    yield from sorted(each.name for each in _site_packages().glob("*.dist-info"))


def _site_packages() -> Path:
    return Path(sysconfig.get_paths()["platlib"])


def _first(tree: Path, busybox: Path, kernel: Kernel, target: Path) -> None:
    programs = {"init": INIT.format(modules=" ".join(FIRST)).encode(), "bin/busybox": busybox.read_bytes()}
    pack_first(tree, programs | {f"modules/{name}.ko": kernel.module(name).read_bytes() for name in FIRST}, target)


def _furnish(tree: Path, busybox: Path, kernel: Kernel, tools: dict[str, Path]) -> None:
    for name in (
        "bin",
        "sbin",
        "etc",
        "usr/bin",
        "usr/sbin",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "project",
        "lib",
        "var",
    ):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, tree / "bin/busybox")
    applets = call(busybox, "--list-full").decode().split()
    for applet in applets:
        where = tree / applet
        where.parent.mkdir(parents=True, exist_ok=True)
        if not where.name.startswith(("ip", "tc", "busybox")) and not where.exists():
            where.symlink_to("/bin/busybox")
    (tree / "start").write_text(START)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tree / "bin/sh").unlink(missing_ok=True)
    (tree / "bin/sh").symlink_to(tools["dash"])  # busybox's own shell would take its own `ip` before the real one
    programs = [_copy(path, tree) for path in tools.values()]
    shutil.copytree(kernel.root / "lib/modules", tree / "lib/modules")
    _python(tree)
    for data in map(Path, DATA):
        if data.is_dir():
            shutil.copytree(data, _at(tree, data), dirs_exist_ok=True)
        elif data.exists():
            _copy(data, tree)
    objects = [*programs, *(path for path in tree.rglob("*.so*") if path.is_file() and not path.is_symlink())]
    for library in sorted(_libraries([_original(each, tree) for each in objects])):
        if not _at(tree, library).exists() and not (_in_venv() and library.is_relative_to(sys.prefix)):
            _copy(library, tree)


def python() -> str:
    """The interpreter's path in the machine."""
    return str(VENV / "bin/python") if _in_venv() else sys.executable


def _in_venv() -> bool:
    return sys.prefix != sys.base_prefix


def _python(tree: Path) -> None:
    """The interpreter and its library, compiled, each at its own path; the packages of the tests."""
    executable = Path(sys.executable)
    if _in_venv():
        executable = executable.resolve()
        link = _at(tree, Path(python()))
        link.parent.mkdir(parents=True)
        link.symlink_to(executable)
        shutil.copy(Path(sys.prefix) / "pyvenv.cfg", _at(tree, VENV))
    while executable.is_symlink():
        link = _at(tree, executable)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(executable.readlink())
        executable = executable.parent / executable.readlink()
    _copy(executable, tree)
    library = Path(sysconfig.get_paths()["stdlib"])
    shutil.copytree(library, _at(tree, library), ignore=shutil.ignore_patterns(*STDLIB_LEFT_OUT), symlinks=True)
    packages = _site_packages()
    there = VENV / packages.relative_to(sys.prefix) if _in_venv() else packages
    shutil.copytree(packages, _at(tree, there), ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)


def _original(copied: Path, tree: Path) -> Path:
    """Where a file of the machine is on this one."""
    there = Path("/") / copied.relative_to(tree)
    return sys.prefix / there.relative_to(VENV) if _in_venv() and there.is_relative_to(VENV) else there


def _at(tree: Path, path: Path) -> Path:
    return tree / path.relative_to("/")


def _copy(path: Path, tree: Path) -> Path:
    target = _at(tree, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    return Path(shutil.copy(path, target))


def _libraries(objects: list[Path]) -> set[Path]:
    """All that the loader would load, and the loader itself (ldd(1))."""
    found: set[Path] = set()
    for each in (Path(sys.executable).resolve(), *objects):
        done = subprocess.run(("ldd", each), capture_output=True, text=True, check=False)  # fails for a static one
        found |= {Path(name) for name in re.findall(r"(/\S+) \(0x", done.stdout)}
    return found


def _pack(tree: Path, target: Path) -> None:
    size = sum(path.stat().st_size + 4096 for path in tree.rglob("*") if not path.is_symlink()) // (1 << 20)
    make = tool("mke2fs", "e2fsprogs")
    call(make, "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", tree, target, f"{size + SPARE_MB}M")


def project(*, extra: dict[str, str]) -> bytes:
    """The project as a tar: sources, tests and examples with their compiled files, and further small files."""
    import compileall
    import io
    import tarfile

    parts = ("src", "tests", "benchmarks", "examples", "docs", "pyproject.toml")
    for part in ("src", "tests"):
        compileall.compile_dir(str(ROOT / part), quiet=2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for part in parts:
            tar.add(ROOT / part, part)
        for name, text in extra.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
