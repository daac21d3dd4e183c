"""A bare Debian to install packages in, and the packages themselves, each made once for all workers."""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.vm.lab.cache import ROOT, Unavailable, alone, call, folder, scratch, tool

INCLUDED = (
    "python3",
    "python3-click",
    "python3-libvirt",
    "python3-lxml",
    "python3-yaml",
    "iproute2",
    "nftables",
    "dnsmasq-base",
    "gzip",
)
# what is written goes to memory; the folder of packages is seen as /packages
ENTER = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay none -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p packages
mount -t proc none proc
mount -t sysfs none sys
mount --rbind /dev dev
mount --bind "$3" packages
cat >script
exec env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . sh -e /script
"""


def package(target: str, pattern: str) -> Path:
    """What ``make TARGET`` leaves in dist/; made once. Skips where a program for it cannot be had."""
    made = ROOT / "dist"
    made.mkdir(exist_ok=True)
    with alone(made):
        stamp = made / f".{target}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        if not stamp.exists():
            for old in made.glob(f".{target}-*"):
                old.unlink()
            done = subprocess.run(["make", "-s", target], cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode and "missing on this machine" in done.stderr:
                pytest.skip(done.stderr.strip().splitlines()[0])
            assert done.returncode == 0, done.stderr[-2000:]
            stamp.touch()
    found = sorted(made.glob(pattern), key=lambda each: each.stat().st_mtime)
    assert found, f"make {target} left no {pattern} in dist/"
    return found[-1]


def bare_root() -> Path:
    """A Debian with nothing but its base, Python and the tools; kept in the cache. Skips where it cannot be made."""
    place = folder("bare")
    made = place / f"bookworm-{zlib.crc32(','.join(INCLUDED).encode()):08x}"  # another list is another root
    with alone(place):
        if not made.exists():
            try:
                debootstrap = tool("debootstrap", "debootstrap")
                with scratch(place) as half:
                    call(debootstrap, "--variant=minbase", f"--include={','.join(INCLUDED)}", "bookworm", half / "root")
                    (half / "root").rename(made)
            except Unavailable as why:
                pytest.skip(str(why))
    return made


def run_inside(script: str, *, seen: Path, tmp: Path) -> str:
    """Run a script in the bare root, in namespaces of its own; what it prints. Fails the test where it fails."""
    words = [
        "unshare",
        "--mount",
        "--net",
        "--uts",
        "--ipc",
        "sh",
        "-c",
        ENTER,
        "sh",
        str(tmp),
        str(bare_root()),
        str(seen),
    ]
    done = subprocess.run(words, input=script, capture_output=True, text=True, timeout=600, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert not re.search(r"^Traceback", said, re.MULTILINE), said
    return said
