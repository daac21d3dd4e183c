"""What can lie in a configuration folder: every parser names it or passes over it, and none of them breaks."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bascule import workflow
from bascule.importer.libvirt import parse as parse_libvirt
from bascule.model.dialects import readable, writable
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from bascule.persist.foreign.carried import as_said_by
from bascule.persist.formats.openvswitch import is_switch
from bascule.site.write import scalar
from tests.persist.configs import recipe
from tests.persist.test_samples import SAMPLES, dialect_of
from tests.work import assert_linear

PLACE = {  # a file that each dialect reads
    "ifcfg": "etc/sysconfig/network-scripts/ifcfg-eth0",
    "keyfile": "etc/NetworkManager/system-connections/eth0.nmconnection",
    "networkd": "etc/systemd/network/10-eth0.network",
    "netplan": "etc/netplan/10-all.yaml",
    "ifupdown": "etc/network/interfaces",
    "wicked": "etc/sysconfig/network/ifcfg-eth0",
}
SOAK = int(os.environ.get("BASCULE_SOAK", "0"))  # 1: 20,000 inputs for each parser


@pytest.mark.parametrize("name", readable())
def test_a_binary_file_is_named(name: str, tmp_path: Path) -> None:
    place = tmp_path / PLACE[name]
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(range(256)) * 10)
    tree = read_tree(tmp_path, dialect(name).reads)
    assert tree.skipped == ((PLACE[name], "binary"),)


LINES = {
    "ifcfg": "IPADDR7=10.0.0.1 # again\n",
    "keyfile": "[ipv4]\nroute1=10.0.0.0/8\n",
    "networkd": "[Network]\nAddress=10.0.0.1/24\n",
    "netplan": "# a comment\n",
    "ifupdown": "iface eth0 inet static\n",
    "wicked": "IPADDR_7=10.0.0.1/24 # again\n",
}


@pytest.mark.parametrize("name", readable())
def test_a_hundred_thousand_lines_are_read(name: str) -> None:
    """How soon, beside a reader of Python's own, stands in benchmarks/persist.py."""
    parsed = dialect(name).parse({PLACE[name]: LINES[name] * 100_000})
    assert len(parsed.config.links) <= 1


@pytest.mark.parametrize("name", readable())
def test_four_times_the_lines_are_four_times_the_work(name: str) -> None:
    def task(number: int) -> Callable[[], object]:
        return lambda: dialect(name).parse({PLACE[name]: LINES[name] * number})

    assert_linear(task, 4000)


@pytest.mark.parametrize("name", readable())
@pytest.mark.parametrize(
    "text", ["", "\n", "\x01\x02", "[", "{", "=", "\\", "'", '"', "auto", "iface", "source", "é=ü", "a" * 200_000]
)
def test_scraps(name: str, text: str) -> None:
    dialect(name).parse({PLACE[name]: text})


def test_strange_files_are_named_and_never_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "etc/netplan"
    folder.mkdir(parents=True)
    (folder / "circle.yaml").symlink_to("/etc/netplan/circle2.yaml")
    (folder / "circle2.yaml").symlink_to("circle.yaml")
    (folder / "gone.yaml").symlink_to("/nowhere")
    (folder / "inside.yaml").symlink_to("/etc/real")
    (tmp_path / "etc/real").write_text("network: {version: 2}\n")
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "latin.yaml").write_bytes("# für\n".encode("latin-1"))
    tree = read_tree(tmp_path, ("etc/netplan/*.yaml",))
    assert set(tree.files) == {"etc/netplan/inside.yaml", "etc/netplan/latin.yaml"}
    assert dict(tree.skipped) == {
        "etc/netplan/circle.yaml": "symbolic links form a loop",
        "etc/netplan/circle2.yaml": "symbolic links form a loop",
        "etc/netplan/gone.yaml": "no such file or directory",
        "etc/netplan/pipe.yaml": "no regular file",
    }


def test_links_do_not_lead_out_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/netplan").mkdir(parents=True)
    (tmp_path / "secret").write_text("network: {}")
    (root / "etc/netplan/up.yaml").symlink_to("../../../../secret")
    (root / "etc/netplan/abs.yaml").symlink_to(tmp_path / "secret")
    assert read_tree(root, ("etc/netplan/*.yaml",)).files == {}


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    place = tmp_path / PLACE["netplan"]
    place.parent.mkdir(parents=True)
    place.write_text("network: {}")
    place.chmod(0)
    assert read_tree(tmp_path, ("etc/netplan/*.yaml",)).skipped == ((PLACE["netplan"], "permission denied"),)


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc/netplan").mkdir(parents=True)
    assert read_tree(tmp_path, ("etc/netplan/*.yaml", "etc/other/*")).skipped == ()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert read_tree(tmp_path, ("etc/netplan/*.yaml", "etc/other/*")).skipped == (("etc/netplan", "permission denied"),)


def test_includes_in_a_circle_end(tmp_path: Path) -> None:
    folder = tmp_path / "etc/network/interfaces.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc/network/interfaces").write_text("source interfaces.d/a\nsource /etc/elsewhere/*\n")
    (folder / "a").write_text("source /etc/network/interfaces.d/b\n")
    (folder / "b").write_text("source a\nauto eth0\niface eth0 inet dhcp\n")
    (tmp_path / "etc/elsewhere").mkdir()
    (tmp_path / "etc/elsewhere/c").write_text("iface eth1 inet manual\n")
    tree = read_tree(tmp_path, dialect("ifupdown").reads, dialect("ifupdown").includes)
    parsed = dialect("ifupdown").parse(tree.files)
    assert set(parsed.config.links) == {"eth0", "eth1"}
    assert ["a loop" in each.why for each in parsed.left] == [True]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 50_000, "{a: " * 5000, "? " * 30_000, "&a [*a]", "a: &a {b: *a}"]
)
def test_yaml_that_is_nested_without_end(text: str) -> None:
    parsed = dialect("netplan").parse({PLACE["netplan"]: text})
    assert parsed.left


def test_xml_that_explodes() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<!DOCTYPE d [<!ENTITY a0 "x">{entities}]><domain><name>&a11;</name></domain>'
    assert parse_libvirt({"etc/libvirt/qemu/x.xml": text}, "h").left


def corpus(name: str) -> dict[str, str]:
    """Real texts of a dialect, by path: its samples and what it renders."""
    files = dict(dialect(name).render(recipe())) if name in writable() else {}
    for sample in SAMPLES:
        if dialect_of(sample) == name:
            files |= read_tree(sample, dialect(name).reads, dialect(name).includes).files
    return files


WORDS = [
    *[
        "=",
        "[",
        "]",
        "{",
        "}",
        ":",
        "'",
        "#",
        "0",
        "-1",
        "4095",
        "`",
        "$(x)",
        "\ufffd",
        "10.0.0.1/33",
        "::/0",
        "br0",
        "eth0",
        "eth0:1",
        "auto",
        "iface",
        "yes",
        "none",
        "/",
        "..",
        "é",
    ],
    *["99999999999999999999", "52:54:00:12:34:56", "ff:ff:ff:ff:ff:ff", "vlan4095", "eth0.0", "eth0.4095", "&a", "*a"],
    *('"', "\\", "\n", "\t", "\x00", "\ud800", "source *", "- ", "? ", "a" * 300),
]


def mutated(text: str, chance: random.Random) -> str:
    """A text with some pieces cut, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        kind = chance.randrange(6)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif kind == 2:
            cut = chance.randint(0, len(lines[at]))
            lines[at] = lines[at][:cut] + chance.choice(WORDS) + lines[at][cut:]
        elif kind == 3:
            words = lines[at].split(" ")
            words[chance.randrange(len(words))] = chance.choice(WORDS)
            lines[at] = " ".join(words)
        elif kind == 4:
            lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
        else:
            key, sep, _ = lines[at].partition("=")
            lines[at] = key + sep + chance.choice(WORDS)
        text = "\n".join(lines)
    return text


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", readable())
def test_mutated_files_never_break_a_parser(name: str) -> None:
    chance = random.Random(f"bascule {name}")
    files = corpus(name)
    paths = sorted(files)
    for _ in range(20_000 if SOAK else 300):
        some = {path: files[path] for path in chance.sample(paths, min(len(paths), chance.randint(1, 6)))}
        if "etc/network/interfaces" in files:
            some.setdefault("etc/network/interfaces", files["etc/network/interfaces"])
        victim = chance.choice(sorted(some))
        some[victim] = mutated(some[victim], chance)
        parsed = dialect(name).parse(some)
        # whatever came out of it can be said again, or is named
        judge = "ifupdown" if any(map(is_switch, parsed.config.links.values())) else "networkd"  # which knows none
        try:
            again = dialect(judge).render(parsed.config)
        except Exception as error:
            assert type(error).__name__ == "Inexpressible", error
        else:
            assert dialect(judge).parse(again).config == as_said_by(parsed.config, judge)


def test_an_import_of_rubbish_ends_with_words(tmp_path: Path) -> None:
    place = tmp_path / PLACE["ifcfg"]
    place.parent.mkdir(parents=True)
    place.write_text("IPADDR=1.2.3.4.5\nNETMASK=\x07\nBRIDGE=a/b\nDEVICE='x y'\n")
    imported = workflow.import_host(root=str(tmp_path), dialect_name="ifcfg", host="h")
    assert imported.left
    assert "\x07" not in imported.text


@pytest.mark.parametrize("odd", ["\U000e0001", "\x7f", "\u200b", "\x00", "é"])
def test_no_character_makes_a_file_that_is_no_yaml(odd: str) -> None:
    """A character beyond U+FFFF that cannot be printed: JSON's pairs of surrogates are none of YAML's escapes."""
    assert yaml.safe_load(scalar(f"a{odd}b")) == f"a{odd}b"


def test_half_a_pair_of_surrogates_is_written_as_what_is_no_character() -> None:
    assert yaml.safe_load(scalar("a\ud800b")) == "a\ufffdb"
