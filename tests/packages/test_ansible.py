"""A rack of three hosts: what is wrong for one is taken back there by itself, and the play stops."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.system.net.netns import Namespace
from tests.lab import Lab
from tests.patience import HUNG_S
from tests.sshd import sshd

pytestmark = [pytest.mark.kernel, pytest.mark.vm]  # a play of three hosts is some forty starts of Python
ROOT = Path(__file__).parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
HOSTS = {"kvm1": "10.0.0.11", "kvm2": "10.0.0.12", "kvm3": "10.0.0.13"}
PLAY = """\
- hosts: rack
  serial: 1
  any_errors_fatal: true
  gather_facts: false
  roles:
    - {role: bascule.net.host, bascule_site_file: site.yaml, bascule_confirm_within: 60, bascule_watch: false}
"""


def site(**addresses: str) -> str:
    hosts = "".join(
        f"  {name}:\n    nics: {{eth0: {{network: lan}}}}\n"
        f"    bridges: {{br0: {{uplink: eth0, address: {addresses.get(name, 'from-uplink')}}}}}\n"
        for name in HOSTS
    )
    return f"site: rack\nnetworks:\n  lan: {{subnet: 10.0.0.0/24}}\nhosts:\n{hosts}"


class Rack(Struct):
    lab: Lab
    folder: Path
    wire: Namespace
    hosts: dict[str, Namespace]
    connections: str  # of this rack alone: another one has the same addresses

    def play(self, *words: str) -> tuple[int, str]:
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.connections,
            "LC_ALL": "C.UTF-8",
        }
        command = (str(PLAYBOOK), "-i", "inventory.ini", "play.yaml", *words)
        with self.wire.entered():
            done = subprocess.run(
                command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=HUNG_S, check=False
            )
        return done.returncode, done.stdout + done.stderr

    def bascule(self, name: str, *words: str) -> str:
        folder = self.folder / name
        env = {"BASCULE_STATE_DIR": f"{folder}/state"}
        done = self.lab.bascule(self.hosts[name], *words, env=env, hostname=name)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def leave_unconfirmed(self, name: str) -> None:
        path = self.folder / name / "site.yaml"
        path.write_text(site())
        self.bascule(name, "apply", str(path), "--yes", "--confirm-within", "600s")

    def bridges(self) -> list[str]:
        """The hosts whose address is on a bridge."""
        shown = {name: self.lab.ip(host, "-4 -o addr show") for name, host in self.hosts.items()}
        return [name for name, text in shown.items() if re.search(rf" br0 +inet {HOSTS[name]}/", text)]


@pytest.fixture
def rack(lab: Lab, tmp_path: Path) -> Iterator[Rack]:
    if not PLAYBOOK.exists():
        pytest.skip("ansible-core is not here: pip install ansible-core")
    shutil.copytree(ROOT / "ansible", tmp_path / "collections/ansible_collections/bascule/net")
    (tmp_path / "play.yaml").write_text(PLAY)
    wire = lab.namespace("wire")
    lab.ip(wire, "link add lan type bridge")
    lab.ip(wire, "link set lan up")
    lab.ip(wire, "addr add 10.0.0.1/24 dev lan")
    lines, found = ["[rack]"], {}
    with contextlib.ExitStack() as stack:
        for name, address in HOSTS.items():
            found[name] = host = lab.namespace(name)
            lab.ip(wire, f"link add {name} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{host.fd}")
            lab.ip(wire, f"link set {name} master lan up")
            lab.ip(host, "link set lo up")
            lab.ip(host, "link set eth0 up")
            lab.ip(host, f"addr add {address}/24 dev eth0")
            folder = tmp_path / name
            folder.mkdir()
            stack.enter_context(sshd(host, wire, address, folder, {}, hostname=name))
            options = f"-F /dev/null -o SetEnv=BASCULE_STATE_DIR={folder}/state -o UserKnownHostsFile=/dev/null"
            alive = "-o ServerAliveInterval=1 -o ServerAliveCountMax=2 -o ConnectTimeout=2 -o LogLevel=ERROR"
            lines.append(
                f"{name} ansible_host={address} ansible_user=root ansible_ssh_private_key_file={folder}/ssh/user "
                f"bascule_executable={PLAYBOOK.with_name('bascule')} bascule_path={folder}/site.yaml "
                f"ansible_python_interpreter={sys.executable} ansible_ssh_common_args='{options} {alive}'"
            )
        (tmp_path / "inventory.ini").write_text("\n".join(lines) + "\n")
        # a socket's path has 107 bytes at most
        connections = stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-"))
        yield Rack(lab, tmp_path, wire, found, connections)


def recap(said: str) -> dict[str, dict[str, int]]:
    rows = re.findall(r"^(kvm\d)\s+: (.*)$", said, re.MULTILINE)
    return {name: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", words)} for name, words in rows}


def test_a_rack_changes_host_by_host_and_a_wrong_one_comes_back(rack: Rack) -> None:
    (rack.folder / "site.yaml").write_text(site())
    status, said = rack.play("--check", "--diff")
    assert status == 0, said
    assert [row["changed"] for row in recap(said).values()] == [1, 1, 1], said
    assert "br0: create bridge" in said
    assert rack.bridges() == []

    status, said = rack.play("--limit", "kvm1", "--extra-vars", "bascule_executable=/nowhere/bascule")
    assert status != 0
    assert "there is no '/nowhere/bascule' on the host" in said

    rack.leave_unconfirmed("kvm1")  # as a play does that ends too early
    (rack.folder / "site.yaml").write_text(site(kvm2="10.0.0.77/24"))
    status, said = rack.play()
    assert status != 0
    assert recap(said)["kvm1"]["changed"] == 1, said
    assert "change 1: waits for 'bascule confirm'" in said
    assert "change 1 is confirmed" in rack.bascule("kvm1", "status")
    assert recap(said)["kvm2"]["failed"] == 1, said
    assert "by itself" in said
    assert "kvm3" not in recap(said)
    assert rack.bridges() == ["kvm1"]
    assert HOSTS["kvm2"] in rack.lab.ip(rack.hosts["kvm2"], "-4 -o addr show dev eth0")

    before = (rack.folder / "kvm1/site.yaml").read_text()
    (rack.folder / "site.yaml").write_text(site().replace("uplink", "uplnk"))
    status, said = rack.play()
    assert status != 0
    assert recap(said)["kvm1"]["failed"] == 1, said
    assert "stays as it was; bascule check: error[UNKNOWN-KEY]" in said
    assert "site.yaml:7:" in said
    assert (rack.folder / "kvm1/site.yaml").read_text() == before

    (rack.folder / "site.yaml").write_text(site())
    status, said = rack.play()
    assert status == 0, said
    assert [row["changed"] for row in recap(said).values()] == [0, 1, 1], said
    assert rack.bridges() == list(HOSTS)
