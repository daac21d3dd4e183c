"""The tutorial of the only NIC, typed on hosts with the ordinary installers' files, and read by the managers' programs.

Each is a room with the real ifupdown, netplan and NetworkManager, a network and an /etc of its own. When the page ends,
the machine starts anew, as far as its network goes: the kernel forgets, and the manager reads what lies there.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.docs.test_commands import ROOT, commands, settled
from tests.persist.readers import ask
from tests.persist.test_readers import MANAGER, NETWORKD
from tests.real_hosts.installers import INSTALLED

PAGE = ROOT / "docs/tutorial/one-nic.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETUP = f"""\
ip netns add office
ip link set eth0p netns office
ip -n office link set lo up
ip -n office link set eth0p up
ip -n office addr add 192.168.1.1/24 dev eth0p
ip link set eth0 address 52:54:00:4b:56:4d
ip link set eth0 up
ip addr add 192.168.1.10/24 dev eth0
ip route add default via 192.168.1.1
hostname kvm
mkdir -p /var/lib/bascule
mount -t tmpfs none /var/lib/bascule
mkdir -p /root/tutorial /etc/systemd/system/multi-user.target.wants
rm -rf /etc/cloud /etc/systemd/system/*.wants/*network* /etc/systemd/system/*.wants/*Network*
cp {ROOT}/examples/one-nic.yaml /root/tutorial
cd /root/tutorial
bascule() {{ {sys.executable} -m bascule "$@"; }}
export COLUMNS=100 PYTHONUTF8=1 BASCULE_STATE_DIR=/var/lib/bascule
unset SSH_CONNECTION
"""
FORGET = """\
bascule status
ip link del br0 || true
ip addr flush dev eth0
ip link set eth0 down
"""
LOOK = (
    "for i in $(seq 300); do ip -br -4 addr show dev LINK | grep -q 192.168.1.10 && break; sleep 0.1; done; sleep 0.5"
)
ENABLE = "ln -sf /lib/systemd/system/UNIT.service /etc/systemd/system/multi-user.target.wants/UNIT.service\n"
HOSTS = {  # heading: the installer, the packages, the unit that starts at boot, what it does then
    "On Debian": ("Debian", ("ifupdown",), "networking", "", "ifup -a"),
    "On Ubuntu": ("Ubuntu with cloud-init", (), "systemd-networkd", NETWORKD, "/usr/libexec/netplan/generate; start"),
    "On Fedora": ("Fedora", (), "NetworkManager", MANAGER, "start"),
}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (?:\d+\. )?(.*)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shown(text: str) -> list[tuple[str, str]]:
    """The commands of a section, each with what the page shows of its output."""
    blocks = (found[1].replace("kvm# ", "$ ") for found in BLOCK.finditer(text))
    return [each for block in blocks for each in commands(block)]


@pytest.mark.kernel
@pytest.mark.parametrize("heading", HOSTS)
def test_the_only_nic(heading: str, tmp_path: Path) -> None:
    name, packages, unit, tools, boot = HOSTS[heading]
    installed, typed = INSTALLED[name], shown(sections()[heading])
    told = "".join(f"echo @@$; ({command}) 2>&1 || echo FAILED\n" for command, _ in typed)
    link = "eth0" if ("bascule undo", "") in [(command, "") for command, _ in typed] else "br0"
    script = SETUP + ENABLE.replace("UNIT", unit) + told + "echo @@$\n" + FORGET + tools + boot + "\n"
    seen = ask(
        tmp_path, packages, {installed.path: installed.text}, script + LOOK.replace("LINK", link), nics=("eth0",)
    )
    assert seen.status == 0, seen.stdout + seen.stderr
    printed = seen.stdout.split("@@$\n")[1:-1]
    for (command, output), said in zip(typed, printed, strict=True):
        assert "FAILED" not in said, f"{command}: {said}"
        if os.environ.get("UPDATE"):
            print(f"kvm# {command}\n{said}")
            continue
        rest = settled(said)
        for piece in re.split(r"^\[…\]$", output, flags=re.MULTILINE):  # […] stands for what the page leaves out
            assert settled(piece) in rest, f"'{command}' no longer prints: {piece}\nbut: {said}"
            rest = rest[rest.index(settled(piece)) + len(settled(piece)) :]
        assert "[…]" in output or not rest.strip(), f"'{command}' prints more than the page shows: {rest}"
    assert seen.addresses(link) == {"192.168.1.10/24"}
    assert ("default", "192.168.1.1", link) in {(r["dst"], r.get("gateway"), r["dev"]) for r in seen.routes}
    assert (seen.links["eth0"].get("master") or "eth0") == link
