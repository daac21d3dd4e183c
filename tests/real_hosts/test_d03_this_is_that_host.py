"""D3: a file is applied on the host that it means: by hostname, pinned hardware, or all of several NICs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.host import identity
from bascule.host.identity import require_here
from bascule.providers.observe import observe
from bascule.site import parse
from tests.lab import called
from tests.real_hosts.field import MACS, Field

SITE = """\
site: one
networks:
  office: {subnet: 192.168.1.0/24}
hosts:
  %s:
    nics: {%s}
%s"""
ETH0 = "eth0: {network: office%s}"
HERE, ELSEWHERE = f", mac: {MACS['eth0']}", ", mac: 02:00:00:00:00:99"
ALIKE = {  # what the file calls the host, its NICs, what this machine is called
    "its name": ("kvm", ETH0 % "", "kvm"),
    "its name with a domain here": ("kvm", ETH0 % "", "kvm.example.com"),
    "its name with a domain in the file": ("kvm.example.com", ETH0 % "", "kvm"),
    "its name in capitals": ("KVM1", ETH0 % "", "kvm1"),
    "a pinned MAC": ("other", ETH0 % HERE, "kvm"),
    "a pinned MAC under another name": ("other", (ETH0 % HERE).replace("eth0", "lan0"), "kvm"),
    "all of several NICs": ("other", (ETH0 % "") + ", eth1: {network: office}", "kvm"),
    "one of two pinned": ("other", (ETH0 % HERE) + ", eth1: {network: office, mac: 02:00:00:00:00:98}", "kvm"),
}
OTHERS = {  # and what is said of it
    "one NIC that many have": ("other", ETH0 % "", "kvm", "the NIC name eth0 alone proves nothing"),
    "no NIC at all": ("other", "", "kvm", "it is called 'kvm', not 'other'"),
    "another MAC": ("other", ETH0 % ELSEWHERE, "kvm", "no NIC here is 02:00:00:00:00:99 (eth0 in the file), eth0"),
    "another path": ("other", ETH0 % ", path: '0000:03:00.0'", "kvm", "no NIC here is pci-0000:03:00.0"),
    "one of two NICs": ("other", (ETH0 % "") + ", eth7: {network: office}", "kvm", "there is no eth7 here"),
    "all NICs, but one with another MAC": ("other", (ETH0 % ELSEWHERE) + ", eth1: {network: office}", "kvm", "no NIC"),
    "a name that nobody gave": ("localhost", ETH0 % "", "localhost", "it has no name"),
    "a longer name": ("kv", ETH0 % "", "kvm", "it is called 'kvm', not 'kv'"),
    "the same name in another domain": ("kvm.a.example", ETH0 % "", "kvm.b.example", "not 'kvm.a.example'"),
}  # fmt: skip


def refusal(shared: Field, name: str, nics: str, hostname: str, more: str = "") -> str:
    """What is said where this machine is not that host, empty where it is."""
    site = parse((SITE % (name, nics, more)).encode(), "site.yaml")
    with shared.host.entered(), called(hostname):
        try:
            require_here(site, site.hosts[name], observe)
        except BasculeError as error:
            assert [problem.code for problem in error.problems] == ["HOST-OTHER"]
            return str(error)
    return ""


@pytest.mark.parametrize("what", ALIKE)
def test_it_is_that_host(shared_host: Field, what: str) -> None:
    assert refusal(shared_host, *ALIKE[what]) == ""


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_says_so(shared_host: Field, what: str) -> None:
    *case, words = OTHERS[what]
    said = refusal(shared_host, *case)
    assert words in said
    assert "--here" in said


TWINS = "  kvm.b.example:\n    nics: {eth0: {network: office%s}}\n"


@pytest.mark.parametrize(
    ("hostname", "pin", "words"),
    [
        ("kvm", "", "it is called 'kvm', as 'kvm.b.example' of the file may be, too; the NIC name eth0"),
        ("kvm.b.example", "", "it is called 'kvm.b.example', not 'kvm.a.example'; the file has that host, too"),
        ("KVM.a.example", "", ""),
        ("kvm", HERE, ""),
    ],
)
def test_d03_a_name_without_its_domain_is_no_proof_where_the_file_has_it_twice(
    shared_host: Field, hostname: str, pin: str, words: str
) -> None:
    said = refusal(shared_host, "kvm.a.example", ETH0 % pin, hostname, more=TWINS % "")
    assert words in said
    assert bool(said) is bool(words)


def test_d03_what_the_file_of_names_has_is_compared(
    shared_host: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a DHCP client named the machine, or somebody did for a while (hostnamectl(1): transient)."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("# of the installer\nother.example\n")
    monkeypatch.setattr(identity, "_ROOT", str(tmp_path))
    said = refusal(shared_host, "other", ETH0 % "", "dhcp-17")
    assert "it is called 'dhcp-17' (/etc/hostname has 'other.example'), not 'other'" in said
    assert identity.name_for_site(str(tmp_path)) == "other"


def test_d03_a_slot_is_compared_as_lspci_or_udev_write_it(shared_host: Field) -> None:
    """A NIC that sits elsewhere is another, whatever the host is called; of a twin's NICs nobody asks."""
    path = shared_host.site(SITE % ("kvm", ETH0 % ", path: '03:00.0'", ""))
    done = shared_host.bascule("plan", path)
    assert done.returncode == 1
    assert "error[NIC-OTHER]: 'eth0' sits at no bus on this host, the file pins pci-0000:03:00.0" in done.stderr
    path = shared_host.site(SITE % ("elsewhere", ETH0 % ", path: '03:00.0'", ""))
    assert shared_host.bascule("rehearse", path, "--no-picture").returncode == 0


def test_all_of_its_nics_are_no_proof_where_the_machine_is_another_host_of_the_file(shared_host: Field) -> None:
    nics = (ETH0 % "") + ", eth1: {network: office}"
    said = refusal(shared_host, "a", nics, "b", more=f"  b:\n    nics: {{{nics}}}\n")
    assert "it is called 'b', not 'a'; the file has that host, too" in said


def test_plan_and_apply_refuse_and_here_insists(shared_host: Field) -> None:
    path = shared_host.site(SITE % ("other", ETH0 % ", mtu: 1400", ""))
    for verb in (("plan",), ("apply", "--yes")):
        done = shared_host.bascule(*verb, path)
        assert done.returncode == 1
        assert "error[HOST-OTHER]: nothing says that this machine is 'other': it is called 'kvm'" in done.stderr
        assert f"confirm it with --here, or say it in the file, as in eth0: {{mac: {MACS['eth0']}}}" in " ".join(
            done.stderr.split()
        )
    assert "mtu 1500" in shared_host.ip("link show eth0")
    assert shared_host.bascule("plan", path, "--here").returncode == 0
    assert shared_host.bascule("apply", path, "--here", "--yes").returncode == 0
    assert "mtu 1400" in shared_host.ip("link show eth0")
    # whatever the machine is called by then, it is its own change that is taken back
    undone = shared_host.bascule("undo", hostname="renamed")
    assert undone.returncode == 0, undone.stderr
    assert "mtu 1500" in shared_host.ip("link show eth0")


def test_verify_says_that_it_may_be_another_machine(shared_host: Field) -> None:
    """Every difference that it tells is of this machine, then."""
    path = shared_host.site(SITE % ("other", ETH0 % "", ""))
    said = [one["detail"] for one in shared_host.document("verify", path)["checks"] if one["id"] == "this-host"]
    assert len(said) == 1
    assert said[0].startswith("nothing says that this machine is 'other': it is called 'kvm', not 'other'")
    ours = shared_host.document("verify", path, hostname="other")
    assert not [one for one in ours["checks"] if one["id"] == "this-host"]


def test_guests_are_not_defined_on_another_machine(shared_host: Field) -> None:
    more = "    bridges: {br0: {uplink: eth0}}\nguests: {web: {host: other, nics: [{bridge: br0}]}}\n"
    path = shared_host.site(SITE % ("other", ETH0 % "", more))
    done = shared_host.bascule("guest", "define", path, "--driver", "qemu")
    assert (done.returncode, "error[HOST-OTHER]" in done.stderr) == (1, True), done.stderr
    for words, hostname in ((("--here",), "kvm"), ((), "other")):
        done = shared_host.bascule("guest", "define", path, "--driver", "qemu", *words, hostname=hostname)
        assert "HOST-OTHER" not in done.stderr


def test_a_rehearsal_starts_as_found_by_the_same_rule(shared_host: Field) -> None:
    words = {"": "NICs only, nothing set up", "--here": "other as found on this machine"}
    for option, start in words.items():
        path = shared_host.site(SITE % ("other", ETH0 % "", ""))
        done = shared_host.bascule("rehearse", path, "--no-picture", *filter(None, [option]))
        assert done.returncode == 0, done.stdout
        assert f"start: {start}" in " ".join(done.stdout.split())
    path = shared_host.site(SITE % ("other", ETH0 % HERE, ""))
    assert shared_host.document("rehearse", path)["observed"] == ["other"]


def test_an_import_writes_name_and_pins(shared_host: Field) -> None:
    document = json.loads(shared_host.bascule("import", "--json", hostname="kvm.example.com").stdout)
    text = shared_host.bascule("import", hostname="kvm.example.com").stdout
    site = parse(text.encode(), "site.yaml")
    assert list(site.hosts) == ["kvm"]
    assert {nic.name: nic.mac for nic in site.hosts["kvm"].nics.values()} == {n: MACS[n] for n in ("eth0", "eth1")}
    assert document["ok"]
    path = shared_host.site(text)
    assert shared_host.document("plan", path, hostname="renamed")["changes"] == []
