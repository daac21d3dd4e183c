"""A small Debian that boots with our files and tells what its kernel has: a real reboot, on a full kernel."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.persist.readers import TOP, Seen

IMAGE = TOP / "var" / "vm"
BOOT_S = 420  # a boot takes about 40 s with TCG on an idle core

REPORT = """\
#!/bin/sh
tell() {
    echo @@@; ip -d -j addr show; echo @@@; ip -j route show
    echo @@@; ip -6 -j route show; echo @@@; bridge -j vlan show
}
ready() { for link in $READY; do ip -br link show $link 2>/dev/null | grep -q LOWER_UP || return 1; done; }
wait_for() { for i in $(seq 60); do ready && break; sleep 1; done; sleep 5; }
exec >/dev/ttyS1
wait_for
tell
journalctl -b --no-pager -o cat -u $UNIT | tail -80 >/dev/ttyS0
ip tuntap add dev vnet0 mode tap
ip link set vnet0 master br3 up
systemctl restart $UNIT
sleep 5
wait_for
tell
journalctl -b --no-pager -o cat -u $UNIT | tail -40 >/dev/ttyS0
echo @@@END
sync
poweroff -f
"""

UNIT = """\
[Unit]
After=multi-user.target
DefaultDependencies=no

[Service]
Environment="READY={ready}" UNIT={unit}
ExecStart=/report
"""


@cache
def image() -> Path:
    """The image, made once; skips where it cannot be made."""
    if not os.environ.get("BASCULE_VM"):
        pytest.skip("a reboot takes minutes: make vm-test")
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not here")
    IMAGE.parent.mkdir(exist_ok=True)
    with (IMAGE.parent / ".vm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([TOP / "scripts" / "vm-image"], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        pytest.skip(f"no image for the small machine: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return IMAGE


def boot(
    tmp_path: Path, files: Mapping[str, str], *, unit: str, enable: tuple[str, ...], ready: str, nics: int
) -> list[Seen]:
    """Boot with the files in place; what the kernel has then, and after the unit was started again."""
    base = image()
    disk = tmp_path / "files.tar"
    _pack(disk, files, unit, enable, ready)
    report, console = tmp_path / "report", tmp_path / "console"
    argv = [
        *(
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-m",
            "512",
            "-smp",
            "1",
            "-nographic",
            "-no-reboot",
            "-monitor",
            "none",
        ),
        *("-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd.img")),
        *("-append", "console=ttyS0 net.ifnames=0 quiet systemd.show_status=0"),
        *("-drive", f"file={base / 'root.img'},if=virtio,format=raw,snapshot=on"),
        *("-drive", f"file={disk},if=virtio,format=raw,readonly=on"),
        *("-serial", f"file:{console}", "-serial", f"file:{report}"),
    ]
    for number in range(nics):
        argv += ["-netdev", f"hubport,id=n{number},hubid={number}"]
        argv += ["-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:00:10:0{number}"]
    try:
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=BOOT_S, check=True)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the small machine did not end: {_tail(console)}")
    text = report.read_text()
    assert "@@@END" in text, _tail(console)
    return _parse(text.partition("@@@END")[0], _tail(console))


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-4000:] if path.exists() else "nothing on its console"


def _pack(disk: Path, files: Mapping[str, str], unit: str, enable: tuple[str, ...], ready: str) -> None:
    with tarfile.open(disk, "w") as tar:

        def add(path: str, text: str, mode: int) -> None:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), mode
            tar.addfile(entry, io.BytesIO(text.encode()))

        for path, text in files.items():
            add(path, text, 0o600 if "system-connections" in path or "netplan/" in path else 0o644)
        add("report", REPORT, 0o755)
        add("etc/systemd/system/report.service", UNIT.format(ready=ready, unit=unit), 0o644)
        for name in ("report", *enable):
            link = tarfile.TarInfo(f"etc/systemd/system/multi-user.target.wants/{name}.service")
            link.type = tarfile.SYMTYPE
            link.linkname = f"/{'etc' if name == 'report' else 'lib'}/systemd/system/{name}.service"
            tar.addfile(link)


def _parse(text: str, console: str) -> list[Seen]:
    parts: list[Any] = [json.loads(part.strip() or "[]") for part in text.split("@@@")[1:]]
    seen = []
    for links, routes, routes6, vlans in (parts[:4], parts[4:8]):
        by_name = {link["ifname"]: link for link in links}
        for entry in vlans:
            by_name[entry["ifname"]]["vlans"] = entry["vlans"]
        seen.append(Seen(stdout="", stderr=console, status=0, links=by_name, routes=routes, routes6=routes6))
    return seen
