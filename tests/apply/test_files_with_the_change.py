"""What apply does with configuration files: written with the change, put back with it, never over others' files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bascule.system.net.netns import Namespace
from tests.apply.hosts import journal_of, time_is_up
from tests.lab import Lab
from tests.patience import patient

PRODUCTION = Path(__file__).parents[2] / "examples" / "production.yaml"
NICS = ("eth2", "eth3", "eth4", "eth5")
WANTS = "etc/systemd/system/multi-user.target.wants"


class Machine:
    """A host in a namespace, with a root folder of its own in which networkd starts at boot."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.host: Namespace = lab.host(*NICS)
        self.root = folder / "root"
        self.state = folder / "state"
        self.networkd = self.root / "etc/systemd/network"
        self.networkd.mkdir(parents=True)
        self.enable("systemd-networkd")

    def enable(self, unit: str) -> None:
        place = self.root / WANTS / f"{unit}.service"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(f"/lib/systemd/system/{unit}.service")

    def run(self, *words: str) -> tuple[int, str, str]:
        done = self.lab.bascule(self.host, *words, env={"BASCULE_STATE_DIR": str(self.state)})
        return done.returncode, done.stdout, done.stderr

    def apply(self, *words: str) -> tuple[int, str, str]:
        return self.run("apply", str(PRODUCTION), "--yes", "--root", str(self.root), *words)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def machine(lab: Lab, tmp_path: Path) -> Machine:
    return Machine(lab, tmp_path)


def test_files_come_with_the_change_and_go_with_it(machine: Machine) -> None:
    before = machine.files()
    status, out, err = machine.apply("--confirm-within", "600s")
    assert status == 0, err
    written = machine.files() - before
    assert "etc/systemd/network/10-br3.netdev" in written
    assert "etc/sysctl.d/60-bascule.conf" in written
    assert "arp_ignore = 1" in (machine.root / "etc/sysctl.d/60-bascule.conf").read_text()
    for path in written:
        assert (machine.root / path).read_text().startswith("# Written by bascule for host vmserver of site production")
        assert path.rpartition("/")[2] in out
    assert machine.run("confirm")[0] == 0
    assert machine.files() - before == written
    assert machine.run("undo")[0] == 0
    assert machine.files() == before


def test_status_tells_which_files_are_no_longer_as_the_change_left_them(machine: Machine) -> None:
    foreign = machine.networkd / "20-mine.network"
    foreign.write_text("[Match]\nName=eth4\n[Network]\nDHCP=yes\n")
    assert machine.apply("--no-confirm")[0] == 0
    assert not foreign.exists()

    def told() -> list[str]:
        drift = json.loads(machine.run("status", "--json")[1])["drift"]
        return sorted(line.removeprefix(f"{machine.root}/etc/") for line in drift)

    assert told() == []
    (machine.networkd / "10-br3.netdev").unlink()
    with (machine.root / "etc/sysctl.d/60-bascule.conf").open("a") as file:
        file.write("net.ipv4.ip_forward = 0\n")
    foreign.write_text("[Match]\nName=eth4\n")
    (machine.networkd / "30-theirs.network").write_text("[Match]\nName=eth9\n")
    assert told() == [
        "sysctl.d/60-bascule.conf: write it again, it was edited",
        "systemd/network/10-br3.netdev: write it again, it is gone",
        "systemd/network/20-mine.network: take it away, it is there again",
    ]


def test_apply_tells_which_files_of_its_own_it_removed(machine: Machine, tmp_path: Path) -> None:
    assert machine.apply("--no-confirm")[0] == 0
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text("site: production\nhosts: {vmserver: {nics: {eth2: {}, eth3: {}, eth4: {}, eth5: {}}}}\n")
    status, out, err = machine.run("apply", str(smaller), "--yes", "--no-confirm", "--root", str(machine.root))
    assert status == 0, err
    (told,) = (line for line in out.splitlines() if line.startswith("removed: "))
    gone = {f"{machine.networkd}/10-br3.netdev", f"{machine.networkd}/10-br3.network"}
    assert gone <= set(told.removeprefix("removed: ").split(", "))
    assert not any(Path(one).exists() for one in told.removeprefix("removed: ").split(", "))


def test_the_dead_man_puts_files_back(machine: Machine) -> None:
    import time

    before = machine.files()
    assert machine.apply("--confirm-within", "600s")[0] == 0
    assert machine.files() != before
    time_is_up(journal_of(machine.state))
    deadline = time.monotonic() + patient(20)
    while machine.files() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machine.files() == before


def test_files_alone_are_written_where_the_kernel_has_all(machine: Machine) -> None:
    assert machine.run("apply", str(PRODUCTION), "--yes", "--no-confirm")[0] == 0
    assert not list(machine.networkd.iterdir())
    status, out, _ = machine.apply()
    assert status == 0
    assert "nothing to do" in out
    assert (machine.networkd / "10-br3.netdev").exists()
    status, out, _ = machine.apply("--json")
    assert json.loads(out)["changed"] is False


def test_a_foreign_file_for_our_link_is_moved_with_the_change_and_comes_back(machine: Machine) -> None:
    foreign = machine.networkd / "20-wired.network"
    foreign.write_text("[Match]\nName=eth4\n\n[Network]\nDHCP=yes\n")
    before = machine.files()
    status, out, err = machine.apply("--confirm-within", "600s")
    assert status == 0, err
    assert f"move    {foreign}\n" in out
    assert not foreign.exists()
    assert machine.run("confirm")[0] == 0
    assert machine.run("undo")[0] == 0
    assert foreign.read_text().endswith("DHCP=yes\n")
    assert machine.files() == before


def test_that_nobody_keeps_the_change_is_said_before_it_is_made(machine: Machine, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    why = "nothing would keep this change after a restart: no configuration system was found on this host"
    for verb in (("plan",), ("apply", "--yes", "--no-confirm")):
        status, out, err = machine.run(verb[0], str(PRODUCTION), "--root", str(bare), *verb[1:])
        assert status == 0, err
        said, _, after = " ".join((err + out).split()).partition("change 1 is made")
        assert why in said
    assert "will be lost when the machine restarts" in after
    on_purpose = tmp_path / "none.yaml"
    on_purpose.write_text(PRODUCTION.read_text().replace("  vmserver:\n", "  vmserver:\n    persist: none\n", 1))
    assert machine.run("undo", "--yes")[0] == 0
    status, out, err = machine.run("plan", str(on_purpose), "--root", str(bare))
    assert status == 0, err
    assert "after a restart" not in out


def test_two_managers_at_once_are_named_and_refused(machine: Machine) -> None:
    (machine.networkd / "20-other.network").write_text("[Match]\nName=eth9\n\n[Network]\nDHCP=yes\n")
    profiles = machine.root / "etc/NetworkManager/system-connections"
    profiles.mkdir(parents=True)
    (profiles / "x.nmconnection").write_text("[connection]\nid=x\ntype=ethernet\ninterface-name=eth8\n")
    machine.enable("NetworkManager")
    status, _, err = machine.apply()
    assert status == 1
    assert "error[MANAGERS]" in err
    assert "networkd" in err
    assert "keyfile" in err
    assert "br3" not in machine.lab.ip(machine.host, "-br link")


def test_in_a_namespace_the_machines_own_files_are_let_alone(machine: Machine) -> None:
    status, out, _ = machine.run("apply", str(PRODUCTION), "--yes")
    assert status == 0
    assert "this is a network namespace of its own" in out
    assert "will be lost when the machine restarts" in out
