"""The verbs capacity and guest as a user meets them; libvirt's test driver stands for a host with domains."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import pytest

from bascule.cli.verbs.guest import command
from bascule.model.site import Guest
from bascule.providers.qemu.state import definition
from bascule.system.libvirt import binding
from tests.guests.test_inventory import made_up_host
from tests.lab import Lab
from tests.terminal import on_a_terminal

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "production.yaml")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    if not binding.is_here():
        pytest.skip("libvirt's Python binding cannot be loaded (make vm-tools)")
    (tmp_path / "node.xml").write_text(made_up_host(3))
    return f"test://{tmp_path}/node.xml"


@pytest.mark.kernel
def test_capacity_of_another_host_by_the_file(lab: Lab) -> None:
    done = lab.bascule(lab.host(), "capacity", EXAMPLE)
    assert done.returncode == 0
    assert "vmserver  64 GiB (the site file; nothing says that this machine is vmserver)" in done.stdout
    assert "one of 64 GiB would lack" in done.stdout
    document = json.loads(lab.bascule(lab.host(), "capacity", EXAMPLE, "--json").stdout)
    assert document["schema"] == "bascule/capacity/1"
    assert document["verdict"] == "fits"
    assert [guest["name"] for guest in document["guests"]] == ["guest_01", "guest_02", "guest_03"]


@pytest.mark.kernel
def test_capacity_on_the_host_itself_counts_what_runs(lab: Lab, uri: str) -> None:
    room = lab.host("eth2", "eth3", "eth4", "eth5")
    document = json.loads(lab.bascule(room, "capacity", EXAMPLE, "--json", "--connect", uri).stdout)
    assert document["memory"]["source"] == "/proc/meminfo"
    assert [guest["name"] for guest in document["guests"] if not guest["declared"]] == ["g0", "g1", "g2", "test"]


@pytest.mark.kernel
def test_capacity_counts_the_guests_of_bare_qemu(lab: Lab, tmp_path: Path) -> None:
    """What the file does not name takes memory whoever runs it; one that is shut off takes none."""
    for name in ("other", "off"):
        folder = tmp_path / "guests" / name
        folder.mkdir(parents=True)
        guest = Guest(name=name, host="vmserver", memory=3 << 30, nics=())
        (folder / "guest.json").write_text(json.dumps(definition(guest)))
    folder = tmp_path / "guests" / "other"
    with subprocess.Popen(("sh", "-c", "read line", str(folder / "qmp")), stdin=subprocess.PIPE) as process:
        (folder / "pid").write_text(f"{process.pid}")
        room = lab.host("eth2", "eth3", "eth4", "eth5")
        env = {"BASCULE_STATE_DIR": str(tmp_path)}
        document = json.loads(lab.bascule(room, "capacity", EXAMPLE, "--json", env=env).stdout)
        process.communicate()
    found = {guest["name"]: guest for guest in document["guests"] if not guest["declared"]}
    assert list(found) == ["other"]
    assert found["other"]["memory"] == 3 << 30


@pytest.mark.kernel
def test_the_list_for_people_and_for_machines(lab: Lab, uri: str) -> None:
    room = lab.host()
    narrow = lab.bascule(room, "guest", "list", "--connect", uri, env={"COLUMNS": "60"}).stdout
    assert max(map(len, narrow.splitlines())) <= 60
    assert "not shown: " in narrow
    done = lab.bascule(room, "guest", "list", "-v", "--connect", uri)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["guest", "nic", "mac", "tap", "plugged", "into", "network", "guard", "pci", "ip"]
    assert any(row.startswith("g1") and "52:54:00:00:00:01" in row and "network default" in row for row in rows)
    document = json.loads(lab.bascule(room, "guest", "list", "--json", "--connect", uri).stdout)
    assert document["schema"] == "bascule/guest-list/1"
    assert [row["guest"] for row in document["nics"]] == ["g0", "g1", "g2", "test"]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("replug", "nobody", "--bridge", "br3"), 1, "there is no guest 'nobody' on this host"),
        (("replug", "g1"), 64, "exactly one of --bridge, --network and --direct"),
        (("replug", "g1", "--bridge", "br3", "--network", "lab"), 64, "exactly one of"),
        (("replug", "g1", "9", "--bridge", "br3"), 1, "'g1' has no NIC '9'"),
        (("unplug", "test"), 1, "'test' has 0 NICs, so say which"),
        (("attach", "g1", "--network", "default", "--mac", "ff:ff:ff:ff:ff:ff"), 64, "is the broadcast address"),
        (("attach", "g1", "--network", "nowhere"), 1, "libvirt has no network 'nowhere'"),
        (("shutdown", "nobody"), 1, "there is no guest 'nobody' on this host"),
        (("undefine", "g1", "nobody"), 1, "there is no guest 'nobody' on this host"),
        (("define", EXAMPLE, "guest_99"), 64, "host 'vmserver' has no guest 'guest_99'"),
    ],
)
def test_the_wrong_thing_is_said_in_words(lab: Lab, uri: str, words: tuple[str, ...], status: int, said: str) -> None:
    done = lab.bascule(lab.host(), "guest", *words, "--connect", uri)
    assert said in done.stderr
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.kernel
def test_shut_down_and_stopped(lab: Lab, uri: str) -> None:
    room = lab.host()
    for words, said in (
        (("shutdown", "g1", "--wait", "0"), "asked to shut down: g1"),
        (("stop", "g1", "--yes"), "stopped: g1"),
    ):
        done = lab.bascule(room, "guest", *words, "--connect", uri)  # libvirt's test driver forgets it at once
        assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "off", "g1", "off"), "started: off; ran already: g1"),
        (("start", "g1"), "ran already: g1"),
        (("shutdown", "off"), "was off already: off"),
        (("shutdown", "off", "g1", "--wait", "0"), "asked to shut down: g1; was off already: off"),
        (("stop", "off"), "was off already: off"),
        (("stop", "g1", "off", "g1", "--yes"), "stopped: g1; was off already: off"),
        (("undefine", "off", "off", "--yes"), "undefined: off; disks stay"),
    ],
)
def test_whom_there_was_nothing_to_do_for_is_told_apart(
    lab: Lab, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    if not binding.is_here():
        pytest.skip("libvirt's Python binding cannot be loaded (make vm-tools)")
    shut_off = """<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>off</name>
        <memory>1024</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain></node>"""
    (tmp_path / "node.xml").write_text(made_up_host(2).replace("</node>", shut_off))
    done = lab.bascule(lab.host(), "guest", *words, "--connect", f"test://{tmp_path}/node.xml")
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr


@pytest.mark.kernel
def test_a_terminal_is_asked_before_the_plug_is_pulled(lab: Lab, uri: str) -> None:
    words = ("guest", "stop", "g1", "--connect", uri)
    printed = on_a_terminal(lab.host(), {}, *words, hostname="h", answer=b"n\n").decode()
    assert "power off g1 at once? Data that is not on disk yet is lost" in printed
    assert "nothing was changed" in printed
    assert "stopped: g1" in on_a_terminal(lab.host(), {}, *words, "--yes", hostname="h").decode()


@pytest.mark.kernel
def test_without_a_terminal_the_plug_is_pulled_only_with_yes(lab: Lab, uri: str) -> None:
    room, words = lab.host(), ("guest", "stop", "g1", "--connect", uri)
    done = lab.bascule(room, *words)
    assert done.returncode == 64
    assert "error[NOT-ASKED]: there is no terminal to ask on: power off g1 at once?" in done.stderr
    assert "hint: use --yes" in done.stderr
    assert lab.bascule(room, *words, "--yes").returncode == 0


def test_no_line_of_the_list_of_verbs_is_cut() -> None:
    text = command.get_help(click.Context(command, info_name="guest"))
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.kernel
def test_without_libvirt_the_reason_is_said(lab: Lab) -> None:
    done = lab.bascule(lab.host(), "guest", "list", "--connect", "qemu+unix:///system?socket=/nowhere")
    assert done.returncode == 1
    assert "error[LIBVIRT-N" in done.stderr
    assert "hint: " in done.stderr
