from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bascule.apply.rollback.files import back_up_for, restore
from bascule.errors import BasculeError
from bascule.model.dialects import persistent
from bascule.model.values import IfName
from bascule.persist import writer
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from bascule.persist.formats.gaps import Inexpressible
from bascule.plan.file_change import FileChange
from bascule.system.disk.durable import write_whole
from tests.persist.configs import bridge, nic, recipe

STAMP = writer.FileHeader("production", "vmserver", "ab" * 32)


def on_disk(root: Path, name: str) -> dict[str, str]:
    return read_tree(root, dialect(name).reads).files


def prepare(root: Path, name: str, config: NetworkConfig) -> writer.WritePlan:
    return writer.prepare(dialect(name), config, on_disk(root, name), stamp=STAMP, root=root)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", persistent())
def test_files_are_written_marked_and_read_back(name: str, tmp_path: Path) -> None:
    writer.commit(prepare(tmp_path, name, recipe()))
    files = on_disk(tmp_path, name)
    assert all(
        text.startswith("# Written by bascule for host vmserver of site production (sha256 abab")
        for text in files.values()
    )
    parsed = dialect(name).parse(files)
    assert (parsed.config, parsed.left) == (recipe(), ())
    assert not prepare(tmp_path, name, recipe()), "a second time there is nothing to write"


@pytest.mark.parametrize("name", persistent())
def test_restore_puts_everything_back(name: str, tmp_path: Path) -> None:
    smaller = NetworkConfig.of([nic("eth4", master=IfName("br3")), bridge("br3")], ["vnet*"])
    writer.commit(prepare(tmp_path, name, smaller))
    before = tree(tmp_path)
    writing = prepare(tmp_path, name, recipe())
    kept = back_up_for(writing.changes)
    writer.commit(writing)
    assert tree(tmp_path) != before
    assert restore(kept)[1] == ()
    assert tree(tmp_path) == before


def test_a_commit_that_breaks_off_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = prepare(tmp_path, "networkd", recipe())
    written: list[Path] = []
    real = write_whole

    def full_disk(path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, data, mode=mode, owner=owner)

    kept = back_up_for(writing.changes)
    monkeypatch.setattr(writer, "write_whole", full_disk)
    with pytest.raises(OSError, match="No space"):
        writer.commit(writing)
    monkeypatch.undo()
    assert restore(kept)[1] == ()
    assert tree(tmp_path) == {}


def test_files_of_links_that_are_no_longer_wanted_go(tmp_path: Path) -> None:
    writer.commit(prepare(tmp_path, "ifcfg", recipe()))
    less = NetworkConfig.of(
        [link for link in recipe().links.values() if link.name not in {"br4", "eth5"}], ["vnet*", "tap*"]
    )
    writing = prepare(tmp_path, "ifcfg", less)
    assert {Path(one.path).name for one in writing.changes if one.action == "remove"} == {"ifcfg-br4", "ifcfg-eth5"}
    writer.commit(writing)
    assert dialect("ifcfg").parse(on_disk(tmp_path, "ifcfg")).config == less


def test_modes(tmp_path: Path) -> None:
    for name in persistent():
        writer.commit(prepare(tmp_path, name, recipe()))
    for path, (_, mode) in tree(tmp_path).items():
        closed = "system-connections" in path or "netplan/" in path
        assert mode == (0o600 if closed else 0o644), path
    if os.geteuid() == 0:
        assert all(path.stat().st_uid == 0 for path in tmp_path.rglob("*"))


FOREIGN = {
    "ifcfg": ("etc/sysconfig/network-scripts/ifcfg-eth2", "DEVICE=eth2\nIPADDR=192.168.1.77\nPREFIX=24\n"),
    "keyfile": (
        "etc/NetworkManager/system-connections/lan.nmconnection",
        "[connection]\nid=lan\ntype=ethernet\ninterface-name=eth2\n\n[ipv4]\nmethod=auto\n",
    ),
    "networkd": ("etc/systemd/network/00-mine.network", "[Match]\nName=eth2\n\n[Network]\nDHCP=yes\n"),
    "netplan": ("etc/netplan/00-installer.yaml", "network: {version: 2, ethernets: {eth2: {dhcp4: true}}}\n"),
    "ifupdown": ("etc/network/interfaces", "source interfaces.d/*\nauto eth2\niface eth2 inet dhcp\n"),
}


@pytest.mark.parametrize("name", persistent())
def test_a_foreign_file_that_says_something_else_is_moved_aside_and_comes_back(name: str, tmp_path: Path) -> None:
    path, text = FOREIGN[name]
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    before, inode = tree(tmp_path), (tmp_path / path).stat().st_ino
    writing = prepare(tmp_path, name, recipe())
    moved = [one for one in writing.changes if one.action == "move"]
    assert [one.path for one in moved] == [str(tmp_path / path)]
    assert moved[0].reason.startswith("it configures eth2")
    kept = back_up_for(writing.changes)
    writer.commit(writing)
    assert Path(moved[0].place).read_text() == text
    assert dialect(name).parse(on_disk(tmp_path, name)).config == recipe()
    assert not prepare(tmp_path, name, recipe()), "a second time there is nothing to write"
    assert restore(kept)[1:] == ((), ())
    assert tree(tmp_path) == before
    assert (tmp_path / path).stat().st_ino == inode


@pytest.mark.parametrize("name", persistent())
def test_a_foreign_file_that_says_the_same_keeps_its_link(name: str, tmp_path: Path) -> None:
    """The installer wrote eth2 as it is wanted: Bascule writes the rest and leaves eth2 to that file."""
    own = NetworkConfig.of([recipe().links[IfName("eth2")]])
    path = FOREIGN[name][0]
    for wanted, text in dialect(name).render(own).items():
        place = tmp_path / (wanted if name == "ifcfg" else path if "eth2" in text else wanted)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(("source interfaces.d/*\n" if name == "ifupdown" else "") + text)
    writing = prepare(tmp_path, name, recipe())
    assert writing.kept == ("eth2",)
    writer.commit(writing)
    parsed = dialect(name).parse(on_disk(tmp_path, name))
    assert parsed.config == recipe()


@pytest.mark.parametrize("name", persistent())
def test_a_file_of_ours_that_somebody_edited_is_named_and_left(name: str, tmp_path: Path) -> None:
    writer.commit(prepare(tmp_path, name, recipe()))
    path = next(path for path, text in on_disk(tmp_path, name).items() if "br4" in text)
    place = tmp_path / path
    place.write_text(place.read_text() + "# a word of the administrator\n")
    before = tree(tmp_path)
    smaller = NetworkConfig.of([nic("eth4", master=IfName("br3")), bridge("br3")], ["vnet*"])
    with pytest.raises(BasculeError, match="was edited since Bascule wrote it") as caught:
        prepare(tmp_path, name, smaller)
    assert [problem.code for problem in caught.value.problems] == ["FILE-EDITED"]
    assert f"'{place}'" in str(caught.value)
    assert tree(tmp_path) == before
    place.unlink()
    again = [one.path for one in prepare(tmp_path, name, recipe()).changes]
    assert str(place) in again, "without it the file is written anew"


def test_a_symbolic_link_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "etc/netplan/60-bascule.yaml"
    place.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text(STAMP.on(""))
    place.symlink_to("/elsewhere")
    with pytest.raises(BasculeError, match="symbolic link"):
        prepare(tmp_path, "netplan", recipe())


def test_nothing_is_decided_for_what_cannot_be_said(tmp_path: Path) -> None:
    from bascule.model.links import BridgePort

    config = NetworkConfig.of([nic("eth4", master=IfName("br3"), port=BridgePort(isolated=True)), bridge("br3")])
    with pytest.raises(Inexpressible, match=r"keyfile does not support 'isolated: True' of eth4"):
        prepare(tmp_path, "keyfile", config)
    assert tree(tmp_path) == {}


def test_a_file_that_does_not_include_ours_is_made_to(tmp_path: Path) -> None:
    """Debian's old interfaces file without its source line."""
    place = tmp_path / "etc/network/interfaces"
    place.parent.mkdir(parents=True)
    place.write_text("auto lo\niface lo inet loopback\n")
    writing = prepare(tmp_path, "ifupdown", recipe())
    assert [one.path for one in writing.changes if one.action == "move"] == [str(place)]
    writer.commit(writing)
    assert place.read_text() == "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/bascule\n"


def test_a_catch_all_that_takes_our_links_is_moved_where_no_other_nic_needs_it(tmp_path: Path) -> None:
    """networkd takes the first file whose [Match] fits; this one sorts before ours and would strip the port."""
    place = tmp_path / "etc/systemd/network/00-all.network"
    place.parent.mkdir(parents=True)
    place.write_text("[Match]\nName=eth*\n\n[Network]\nDHCP=yes\n")
    assert [one.action for one in prepare(tmp_path, "networkd", recipe()).changes if one.path == str(place)] == ["move"]
    nics = {name: None for name in (*recipe().links, IfName("eth9")) if name.startswith("eth")}
    files = on_disk(tmp_path, "networkd")
    with pytest.raises(BasculeError, match=r"eth4.*master is br3 wanted, none") as caught:
        writer.prepare(dialect("networkd"), recipe(), files, stamp=STAMP, root=tmp_path, hardware=nics)
    assert {problem.code for problem in caught.value.problems} == {"FILE-FOREIGN"}


def test_what_a_killed_change_was_writing_goes_with_it(tmp_path: Path) -> None:
    """It was left beside the file, in a folder that was made for it as well."""
    path = tmp_path / "etc/sysctl.d/60-bascule.conf"
    (backup,) = back_up_for([FileChange(path=str(path), action="write", new="ours")])
    path.parent.mkdir(parents=True)
    for name in (".60-bascule.conf.126.new", ".60-bascule.conf.mine.new", ".70-other.conf.126.new"):
        (path.parent / name).write_text("half")
    _, faults, kept = restore([backup])
    assert (faults, kept) == ((), ())
    assert sorted(one.name for one in path.parent.iterdir()) == [".60-bascule.conf.mine.new", ".70-other.conf.126.new"]
