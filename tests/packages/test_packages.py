"""Each package, in a machine that has nothing: it installs, rehearses its own example, and leaves the network alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages.lab import package, run_inside

pytestmark = [pytest.mark.vm, pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root")]

EXAMPLES = "/usr/share/doc/bascule/examples"
ONE_NIC = """
hostname kvm
ip link set lo up
ip link add eth0 type veth peer name far
ip link set eth0 up
ip link set far up
ip address add 192.168.1.10/24 dev eth0
ip route add default via 192.168.1.1
"""
LIFE_OF_A_DEB = f"""
dpkg --install /packages/*.deb
bascule --version
test -e /usr/share/man/man1/bascule-apply.1.gz
test -e /usr/share/doc/bascule/CHANGELOG.md
test -e /lib/systemd/system/bascule-watch.service
bash -c '. /usr/share/bash-completion/completions/bascule && complete -p bascule'
bascule rehearse {EXAMPLES}/one-nic.yaml | tail -n 1
/usr/lib/bascule/bin/python3 {EXAMPLES}/inventory.py {EXAMPLES}/nat.yaml --format csv | grep -q '^builder,'
{ONE_NIC}
cp {EXAMPLES}/one-nic.yaml /root/site.yaml
cd /root

echo "== armed"
bascule apply site.yaml --yes --confirm-within 30 >/dev/null
ip -br address show br0
if dpkg --remove bascule; then echo "it went away under an armed change"; exit 1; fi
dpkg --install /packages/*.deb >/dev/null
bascule status | head -n 1
i=0
while [ -d /sys/class/net/br0 ] && [ $i -lt 300 ]; do sleep 1; i=$((i + 1)); done
echo "== taken back"
bascule status | head -n 1
ip -br address show eth0
test ! -d /sys/class/net/br0

bascule apply site.yaml --yes --confirm-within 60 >/dev/null
bascule confirm
ip -o -4 address show br0 >/root/before
echo "== removed"
dpkg --remove bascule
echo "== purged"
dpkg --purge bascule
ip -o -4 address show br0 | cmp - /root/before
test ! -e /usr/lib/bascule
test ! -e /var/lib/bascule
"""


def test_a_deb_lives_and_goes_without_touching_the_network(tmp_path: Path) -> None:
    shelf, inside = tmp_path / "shelf", tmp_path / "inside"
    shelf.mkdir()
    inside.mkdir()
    shutil.copy(package("deb", "bascule_*.deb"), shelf)

    said = run_inside(LIFE_OF_A_DEB, seen=shelf, tmp=inside)

    assert "17 checks and 2 expectations hold" in said
    armed, back = said.split("== armed")[1].split("== taken back")
    assert "192.168.1.10/24" in armed
    assert "without the program it would not be taken back" in said
    assert "waits for 'bascule confirm'" in armed
    assert "taken back" in back
    assert "192.168.1.10/24" in back
    assert "the network stays as it is" in said.split("== removed")[1]


def test_a_deb_is_clean_to_lintian() -> None:
    found = package("deb", "bascule_*.deb")
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not here: apt-get install lintian")
    done = subprocess.run(["lintian", "--allow-root", str(found)], capture_output=True, text=True, check=False)
    assert not [line for line in done.stdout.splitlines() if line.startswith("E:")], done.stdout


def test_an_rpm_installs_rehearses_and_goes(tmp_path: Path) -> None:
    if shutil.which("rpm") is None:
        pytest.skip("rpm is not here: apt-get install rpm")
    found = package("rpm", "bascule-*.rpm")
    shelf, inside = tmp_path / "shelf", tmp_path / "inside"
    shelf.mkdir()
    inside.mkdir()
    # the bare machine is a Debian: the files go in as rpm lays them out, its scripts are run by hand
    subprocess.run(["sh", "-c", 'rpm2cpio "$1" | cpio -idm --quiet', "sh", str(found)], cwd=shelf, check=True)
    script = subprocess.run(["rpm", "-qp", "--scripts", str(found)], capture_output=True, text=True, check=True).stdout
    assert "a change waits for its confirmation" in script

    said = run_inside(
        f"cp -a /packages/. /\nbascule --version\nbascule rehearse {EXAMPLES}/one-nic.yaml | tail -n 1\n",
        seen=shelf,
        tmp=inside,
    )

    assert "17 checks and 2 expectations hold" in said


def test_an_rpm_is_clean_to_rpmlint() -> None:
    found = package("rpm", "bascule-*.rpm")
    if shutil.which("rpmlint") is None:
        pytest.skip("rpmlint is not here: apt-get install rpmlint")
    words = ["rpmlint", "--config", "packaging/rpmlint.toml", str(found)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not [line for line in done.stdout.splitlines() if " E: " in line], done.stdout


def test_the_one_file_runs_and_takes_back_a_change_by_itself(tmp_path: Path) -> None:
    shelf, inside = tmp_path / "shelf", tmp_path / "inside"
    shelf.mkdir()
    inside.mkdir()
    shutil.copy(package("pyz", "bascule.pyz"), shelf)
    shutil.copy("examples/one-nic.yaml", shelf)

    said = run_inside(
        "cd /root; cp /packages/one-nic.yaml site.yaml\n"
        "/packages/bascule.pyz rehearse site.yaml | tail -n 1\n"
        f"{ONE_NIC}\n"
        "/packages/bascule.pyz apply site.yaml --yes --confirm-within 5 >/dev/null\n"
        "ip -br address show br0\n"
        "i=0\n"
        "while [ -d /sys/class/net/br0 ] && [ $i -lt 300 ]; do sleep 1; i=$((i + 1)); done\n"
        "echo '== taken back'\n"
        "ip -br address show eth0\n"
        "echo '== read-only root'\n"
        "rm -rf /root/.local; mount -t tmpfs -o ro none /root\n"
        "/packages/bascule.pyz --version; ls /var/cache/bascule\n",
        seen=shelf,
        tmp=inside,
    )

    assert "17 checks and 2 expectations hold" in said
    back, read_only = said.split("== taken back")[1].split("== read-only root")
    assert "192.168.1.10/24" in back
    assert "bascule.pyz_" in read_only


def test_wheel_and_sdist_are_whole(tmp_path: Path) -> None:
    """A wheel goes into an environment of its own, and brings licence, documents and examples along."""
    wheel, sdist = package("wheel", "bascule-*.whl"), package("wheel", "bascule-*.tar.gz")
    listed = subprocess.run(["tar", "-tzf", str(sdist)], capture_output=True, text=True, check=True).stdout
    for name in (
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
        "docs/tutorial/one-nic.md",
        "examples/one-nic.yaml",
        "tests/lab",
    ):
        assert f"/{name}" in listed
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "-q", str(wheel)], check=True)
    example = tmp_path / "venv/share/doc/bascule/examples/one-nic.yaml"
    done = subprocess.run(
        [tmp_path / "venv/bin/bascule", "rehearse", str(example)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv/share/doc/bascule/CHANGELOG.md").exists()
    assert {"bascule.1", "bascule-apply.1"} <= {page.name for page in (tmp_path / "venv/share/man/man1").iterdir()}
    assert (tmp_path / "venv/share/man/man5/bascule.yaml.5").exists()
