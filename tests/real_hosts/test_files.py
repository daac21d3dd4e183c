"""Files are part of the change (D1, T11): an installer's file goes aside with it, and comes back byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bascule import workflow
from bascule.apply.prepare import prepare
from bascule.errors import BasculeError
from bascule.model.state import HostState
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from bascule.persist.foreign import cloud_init
from bascule.persist.persister import find_persister
from bascule.persist.wanted import declared_state
from bascule.site import parse
from tests.apply.hosts import journal_of, time_is_up
from tests.lab import called
from tests.patience import patient
from tests.real_hosts.field import ONE_NIC, Field
from tests.real_hosts.installers import INSTALLED, OTHERS, Installed

SWITCH = cloud_init.FILE
# the option of a bridge that a guard needs is in no dialect's words, and no reason to refuse any of them
GUARDED = "guests: {web: {host: kvm, nics: [{bridge: br0, address: 192.168.1.21/24, guard: strict}]}}\n"


class OnDisk:
    """A field with a root of its own, in which an installer's file lies."""

    def __init__(self, field: Field, folder: Path, installed: Installed) -> None:
        self.field, self.root, self.installed = field, folder / "root", installed
        self.file = installed.lay(self.root)
        self.site = folder / "one.yaml"
        text = ONE_NIC.replace("  kvm:\n", f"  kvm:\n    persist: {installed.dialect}\n")
        self.site.write_text(text + GUARDED)
        field.environment["BASCULE_STATE_DIR"] = str(folder / "state")

    def run(self, *words: str, hostname: str = "kvm") -> subprocess.CompletedProcess[str]:
        return self.field.bascule(*words, hostname=hostname)

    def apply(self, *words: str, root: str = "") -> subprocess.CompletedProcess[str]:
        done = self.run("apply", str(self.site), "--yes", "--root", root or str(self.root), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def tree(self) -> dict[str, Any]:
        """Every folder, and every file with all that it carries."""
        found: dict[str, Any] = {}
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                with contextlib.suppress(FileNotFoundError):  # it goes just now
                    status = path.stat()
                    facts: tuple[Any, ...] = (status.st_mode, status.st_uid, status.st_gid)
                    if path.is_file():
                        facts = (*facts, path.read_bytes(), status.st_mtime_ns, attributes(path))
                    found[str(path.relative_to(self.root))] = facts
        return found

    def links(self) -> Mapping[str, Any]:
        """What the dialect's files say now."""
        one = dialect(self.installed.dialect)
        links = one.parse(read_tree(self.root, one.reads, one.includes).files).config.links
        return {str(name): link for name, link in links.items()}

    def fire(self) -> None:
        """Let the dead-man act now."""
        time_is_up(journal_of(self.site.parent / "state"))

    def wait(self, good: Any, seconds: float = 20) -> None:
        deadline = time.monotonic() + patient(seconds)
        while not (found := good()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def label(path: Path) -> None:
    """An attribute as a SELinux label is one, where this file system takes any."""
    try:
        os.setxattr(path, "user.label", b"net_conf_t")
    except OSError:
        os.setxattr(path, "trusted.label", b"net_conf_t")


@pytest.fixture
def settled(shared_host: Field) -> Iterator[Field]:
    """The shared lab; what a test leaves is taken back."""
    yield shared_host
    shared_host.bascule("undo", "--leave")


@pytest.mark.parametrize("name", INSTALLED)
def test_d1_the_installers_file_comes_back_whole_when_nobody_confirms(
    name: str, settled: Field, tmp_path: Path
) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED[name])
    label(host.file)
    before = host.tree()
    planned = settled.document("plan", str(host.site), "--root", str(host.root))
    listed = {one["path"]: one for one in planned["files"]}
    assert listed[str(host.file)]["action"] == "move"
    assert "-" in listed[str(host.file)]["diff"]
    assert (str(host.root / SWITCH) in listed) is host.installed.cloud_init
    out = host.apply("--confirm-within", "10m").stdout
    assert all(path in out.partition("change 1 is made")[0] for path in listed), "told before it was done"
    during = host.tree()
    is_file = {path: len(facts) > 3 for path, facts in {**before, **during}.items()}
    changed = {str(host.root / path) for path in is_file if is_file[path] and before.get(path) != during.get(path)}
    aside = {one["aside"] for one in listed.values() if one["aside"]}
    assert changed - aside == set(listed), "exactly what was listed"
    host.fire()
    host.wait(lambda: host.tree() == before)


@pytest.mark.parametrize("name", INSTALLED)
def test_d1_what_the_files_say_afterwards_is_the_bridge_and_the_rest(name: str, settled: Field, tmp_path: Path) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED[name])
    before = host.tree()
    others = {link: said for link, said in host.links().items() if link != "eth0"}
    host.apply("--no-confirm")
    links = host.links()
    assert links["eth0"].master == "br0"
    assert links["br0"].addresses == ("192.168.1.10/24",)
    assert [route.gateway for route in links["br0"].routes] == ["192.168.1.1"]
    if "192.168.1.1;" in host.installed.text or "dns" in host.installed.text.lower():
        assert links["br0"].dns == ("192.168.1.1",), "name servers go along"
    assert {link: said for link, said in links.items() if link not in {"eth0", "br0"}} == others
    if host.installed.keeps:
        assert host.installed.keeps in host.file.read_text()
        assert "192.168.1.10" not in host.file.read_text()
    again = settled.document("plan", str(host.site), "--root", str(host.root))
    assert (again["changes"], again["files"]) == ([], [])
    done = host.run("undo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.tree() == before


@pytest.mark.parametrize("what", OTHERS)
def test_d1_files_of_others_for_the_nic(what: str, state: HostState, tmp_path: Path) -> None:
    case = OTHERS[what]
    for path, text in case.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    site = parse(ONE_NIC.replace("  kvm:\n", f"  kvm:\n    persist: {case.dialect}\n").encode(), "one.yaml")
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
    assert persister is not None
    if case.refused:
        with pytest.raises(BasculeError, match=re.escape(case.refused)):
            persister.changes(state)
        return
    moved = {one.path.removeprefix(f"{tmp_path}/"): one for one in persister.changes(state) if one.action == "move"}
    assert moved.keys() == case.goes.keys()
    for path, left in case.goes.items():
        assert left in (moved[path].new or "")
        assert moved[path].reason.startswith(("it configures eth0", "it configures br0"))
    persister.write(state)
    again, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
    assert again is not None and again.changes(state) == ()
    if case.dialect == "netplan":  # the last file's word for all links would be the one for links of others as well
        network = yaml.safe_load((tmp_path / "etc/netplan/60-bascule.yaml").read_text())["network"]
        assert "renderer" not in network
        assert {each["renderer"] for group in ("ethernets", "bridges") for each in network[group].values()} == {
            "networkd"
        }
    notes = [f"{note.subject}: {note.text}" for note in persister.notes if note.kind == "warning"]
    assert [note[: len(case.told)] for note in notes] == ([case.told] if case.told else [])


@pytest.mark.parametrize(
    ("dialect_name", "path", "ours", "others"),
    [
        (
            "ifupdown",
            "etc/network/interfaces",
            b"auto eth0\r\niface eth0 inet dhcp\r\n",
            b"# f\xfcr den Z\xe4hler\r\nauto eth1\r\niface eth1 inet dhcp\r\n# Ende\xdf\n",
        ),
        (
            "netplan",
            "etc/netplan/50-all.yaml",
            b"    eth0: {dhcp4: true}\n",
            b"\xef\xbb\xbf# le r\xc3\xa9seau\nnetwork:\r\n  ethernets:\n    eth1: {dhcp4: true} # \xc3\xa9t\xc3\xa9\n",
        ),
    ],
)
def test_d1_what_stays_of_a_file_keeps_its_bytes(
    dialect_name: str, path: str, ours: bytes, others: bytes, state: HostState, tmp_path: Path
) -> None:
    """Latin-1, a byte order mark, CR LF or both kinds of line ends: no byte of another's lines is written anew."""
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    at = others.index(b"    eth1") if b"    eth1" in others else 0
    file.write_bytes(others[:at] + ours + others[at:])
    site = parse(ONE_NIC.replace("  kvm:\n", f"  kvm:\n    persist: {dialect_name}\n").encode(), "one.yaml")
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
    assert persister is not None
    (moved,) = (one for one in persister.changes(state) if one.action == "move")
    assert moved.content is not None and moved.content.startswith(others)
    persister.write(state)
    assert file.read_bytes() == moved.content


@pytest.fixture(scope="module")
def state(shared_host: Field) -> HostState:
    """What the change of the one NIC leads to."""
    site = parse(ONE_NIC.encode(), "one.yaml")
    with shared_host.host.entered(), called("kvm"):
        return prepare(site, site.hosts["kvm"]).wanted


def test_t11_a_relative_root_is_taken_back_from_another_folder(settled: Field, tmp_path: Path) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED["Debian"])
    before = host.tree()
    (tmp_path / "here").mkdir()
    for back in ("undo", "dead-man"):
        cwd = Path.cwd()
        os.chdir(tmp_path / "here")
        try:
            host.apply("--confirm-within", "10m", root="../root")
        finally:
            os.chdir(cwd)
        assert host.tree() != before
        if back == "undo":
            assert host.run("undo").returncode == 0
        else:
            host.fire()
        host.wait(lambda: host.tree() == before)


def test_d1_a_file_that_cannot_be_taken_apart_is_refused_with_the_reason(settled: Field, tmp_path: Path) -> None:
    """The VLAN hangs on the unit that would go, and the site file knows nothing of it."""
    host = OnDisk(settled, tmp_path, INSTALLED["networkd"])
    units = host.file.parent
    host.file.write_text("[Match]\nName=eth0\n\n[Network]\nAddress=192.168.1.10/24\nVLAN=eth0.5\n")
    (units / "eth0.5.netdev").write_text("[NetDev]\nName=eth0.5\nKind=vlan\n\n[VLAN]\nId=5\n")
    (units / "eth0.5.network").write_text("[Match]\nName=eth0.5\n\n[Network]\nAddress=10.5.0.2/24\n")
    before = host.tree()
    refused = host.run("apply", str(host.site), "--yes", "--root", str(host.root))
    assert refused.returncode == 1
    assert "error[FILE-SHARED]" in refused.stderr
    assert f"'/{host.file.relative_to(host.root)}' aside for this change would also change eth0.5" in refused.stderr
    assert "hint: take eth0.5 into the site file" in refused.stderr
    planned = host.run("plan", str(host.site), "--root", str(host.root))
    assert planned.returncode == 0
    assert "apply will refuse this: FILE-SHARED" in planned.stdout
    assert host.tree() == before


def test_a_file_that_changes_while_the_change_is_made_stops_it(settled: Field, tmp_path: Path) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED["Ubuntu with cloud-init"])
    site = workflow.load(str(host.site))
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(host.root))
    assert persister is not None
    wanted = declared_state(site, site.hosts["kvm"])
    persister.changes(wanted)
    host.file.write_text("network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n")
    before = host.tree()
    with pytest.raises(BasculeError) as caught:
        persister.write(wanted)
    assert [problem.code for problem in caught.value.problems] == ["FILE-CHANGED"]
    assert str(host.file) in str(caught.value)
    assert host.tree() == before


def test_bad_day_cloud_init_writes_its_file_anew_in_the_window(settled: Field, tmp_path: Path) -> None:
    """What stood before comes back, and what cloud-init wrote meanwhile is kept beside it and named."""
    host = OnDisk(settled, tmp_path, INSTALLED["Ubuntu with cloud-init"])
    before = host.tree()
    host.apply("--confirm-within", "600s")
    newer = "network: {version: 2, ethernets: {eth0: {dhcp4: true, mtu: 1400}}}\n"
    host.file.write_text(newer)
    assert f"warning: {host.file} was written by somebody else since the change" in host.run("confirm").stderr
    done = host.run("undo")
    assert done.returncode == 0, done.stderr
    assert "changed by others meanwhile" in done.stdout
    after = host.tree()
    assert {path: facts for path, facts in after.items() if "bascule" not in path} == before
    kept = [path for path in after if path.endswith("50-cloud-init.yaml.changed-meanwhile")]
    assert [(host.root / path).read_text() for path in kept] == [newer]
    assert kept[0].rpartition("/")[2] in done.stdout
    (told,) = json.loads(host.run("status", "--json").stdout)["kept"]
    assert told.endswith(kept[0].rpartition("/")[2]), "of a dead-man's way back nobody reads the words"


def test_bad_day_somebody_edits_the_file_where_it_was_moved_to(settled: Field, tmp_path: Path) -> None:
    """The bytes that were there come back from the checkpoint; the edited ones stay, and both verbs say so."""
    host = OnDisk(settled, tmp_path, INSTALLED["Ubuntu with cloud-init"])
    before = host.tree()
    host.apply("--confirm-within", "600s")
    (aside,) = host.root.glob("etc/bascule/moved-aside/**/50-cloud-init.yaml")
    aside.write_text("# somebody's note\n")
    done = host.run("undo")
    assert done.returncode == 0, done.stderr
    assert "changed by others where it was moved to" in done.stdout
    assert aside.read_text() == "# somebody's note\n"
    assert {path: facts for path, facts in host.tree().items() if "bascule" not in path} == before
    assert "changed by others where it was moved to" in host.run("status").stdout


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_bad_day_the_disk_takes_nothing_when_the_dead_man_fires(trouble: str, settled: Field, tmp_path: Path) -> None:
    """On a full disk the very file comes home by its name; on one that is read-only it is said, and done later."""
    disk = tmp_path / "root"
    disk.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)), check=True)
    try:
        host = OnDisk(settled, tmp_path, INSTALLED["Fedora"])
        before = host.tree()
        host.apply("--confirm-within", "600s")
        if trouble == "full":
            with contextlib.suppress(OSError), (disk / "ballast").open("wb") as ballast:
                while True:
                    ballast.write(b"\0" * 4096)
                    ballast.flush()
            host.fire()
            host.wait(lambda: but(host.tree(), ".", "ballast") == but(before, "."))
            return
        subprocess.run(("mount", "-o", "remount,ro", str(disk)), check=True)
        host.fire()
        host.wait(
            lambda: "Read-only file system" in " ".join(host.run("status").stdout.split()), 30
        )  # while it tries, or afterwards
        assert host.file.read_text().startswith("# Written by bascule")
        subprocess.run(("mount", "-o", "remount,rw", str(disk)), check=True)
        host.run("undo")  # unless the dead-man, who tries it again, is quicker
        host.wait(lambda: host.tree() == before)
    finally:
        subprocess.run(("umount", "-l", str(disk)), check=True)


def but(tree: dict[str, Any], *paths: str) -> dict[str, Any]:
    return {path: facts for path, facts in tree.items() if path not in paths}


def test_bad_day_two_files_claim_the_nic(settled: Field, tmp_path: Path) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED["Fedora"])
    second = host.file.with_name("Wired connection 1.nmconnection")
    second.write_text(
        "[connection]\nid=Wired connection 1\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n"
    )
    third = host.file.with_name("any.nmconnection")
    third.write_text("[connection]\nid=any\ntype=ethernet\n\n[ipv4]\nmethod=auto\n")
    for profile in (second, third):
        profile.chmod(0o600)
    (host.file.parent / "odd").write_bytes(b"\0")
    before = host.tree()
    planned = settled.document("plan", str(host.site), "--root", str(host.root))
    listed = planned["files"]
    assert "system-connections/odd could not be read (binary)" in str(planned)
    assert {one["path"] for one in listed if one["action"] == "move"} == {str(host.file), str(second), str(third)}
    host.apply("--no-confirm")
    assert not second.exists()
    assert third.read_text().endswith("[match]\ninterface-name=&!br0;&!eth0;\n"), "it goes on for the other NICs"
    assert host.run("undo").returncode == 0
    assert host.tree() == before


def test_bad_day_the_hostname_changes_between_apply_and_undo(settled: Field, tmp_path: Path) -> None:
    host = OnDisk(settled, tmp_path, INSTALLED["RHEL 8 by Anaconda"])
    before = host.tree()
    host.apply("--confirm-within", "600s")
    done = host.run("undo", hostname="renamed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.tree() == before
