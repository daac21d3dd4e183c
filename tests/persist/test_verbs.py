"""``bascule render`` and ``bascule import`` as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import prefork
from tests.persist.test_samples import SAMPLES, dialect_of

TOP = Path(__file__).parents[2]
SITE = str(TOP / "examples" / "production.yaml")


def bascule(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = prefork.run(*words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def document(*words: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bascule(*words, "--json", status=status).stdout)
    return found


@pytest.mark.parametrize("dialect", ["ifcfg", "keyfile", "networkd", "netplan", "ifupdown"])
def test_render_writes_what_import_reads(dialect: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bascule("render", SITE, "--host", "vmserver", "--dialect", dialect, "-o", str(out))
    assert all(Path(line).read_text().startswith("# Written by bascule") for line in done.stdout.splitlines())
    assert "br3, br4 is not pinned" in done.stderr
    host = document("import", "--root", str(out), "--dialect", dialect)["site"]["hosts"]["host"]
    assert host["bridges"] == {"br3": {"uplink": "eth4"}, "br4": {"uplink": "eth5"}}
    assert host["nics"]["eth3"]["gateway"] == "129.230.0.1"


def test_render_prints_without_a_folder() -> None:
    said = bascule("render", SITE, "--dialect", "ifcfg").stdout
    assert "==> etc/sysconfig/network-scripts/ifcfg-br3 <==" in said
    assert "BRIDGE=br3" in said


def test_render_as_json() -> None:
    said = document("render", SITE, "--dialect", "netplan")
    assert (said["schema"], said["ok"], said["host"]) == ("bascule/render/1", True, "vmserver")
    assert "etc/netplan/60-bascule.yaml" in said["files"]


def test_render_replaces_its_own_and_no_other_file(tmp_path: Path) -> None:
    words = ("render", SITE, "--dialect", "ifcfg", "-o", str(tmp_path))
    bascule(*words)
    bascule(*words)
    (tmp_path / "etc/sysconfig/network-scripts/ifcfg-eth2").write_text("DEVICE=eth2\n")
    failed = bascule(*words, status=1)
    assert "error[FILE-FOREIGN]" in failed.stderr
    assert (tmp_path / "etc/sysconfig/network-scripts/ifcfg-eth2").read_text() == "DEVICE=eth2\n"


def test_what_cannot_be_said_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    nics = "{eth4: {path: pci-0000:03:00.0}, eth5: {path: pci-0000:03:00.1}}"
    site.write_text(f"site: s\nhosts: {{h: {{nics: {nics}}}}}\n")
    failed = bascule("render", str(site), "--dialect", "ifcfg", "-o", str(tmp_path / "out"), status=1)
    assert failed.stderr.count("error[DIALECT-CANNOT]: ifcfg does not support 'path: pci-0000:03:00.") == 2
    assert not (tmp_path / "out").exists()
    problems = document("render", str(site), "--dialect", "ifcfg", status=1)["problems"]
    assert [problem["code"] for problem in problems] == ["DIALECT-CANNOT"] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("render", SITE), "Missing option '--dialect'"),
        (("render", SITE, "--dialect", "xml"), "'xml' is not a dialect"),
        (("render", SITE, "--dialect", "NetworkManager"), "hint: that of NetworkManager is keyfile"),
        (("import", "--root", "/no-such-folder"), "'/no-such-folder' is not a directory"),
        (("import", "--root", "/", "--dialect", "xml"), "'xml' is not a dialect"),
    ],
)
def test_wrong_words(words: tuple[str, ...], told: str) -> None:
    assert told in bascule(*words, status=64).stderr


def test_import_finds_the_dialect_of_a_tree() -> None:
    for sample in SAMPLES:
        said = document("import", "--root", str(sample))
        assert said["dialect"] == dialect_of(sample), sample.name


def test_files_of_two_systems_are_told_apart_by_the_person(tmp_path: Path) -> None:
    for name in ("ifcfg", "netplan"):
        bascule("render", SITE, "--dialect", name, "-o", str(tmp_path))
    failed = bascule("import", "--root", str(tmp_path), status=64)
    assert "ifcfg, netplan" in failed.stderr


HOST = """
ip link set lo up
for nic in eth2 eth4 eth5 eth6; do ip link add $nic type veth peer name veth$nic; done
for nic in eth2 eth4 eth5; do ip link set $nic up; done
ip address add 192.168.1.10/24 dev eth2
ip route add default via 192.168.1.1
ip route add 10.9.0.0/16 via 192.168.1.9 metric 50
ip link add br3 type bridge forward_delay 700
ip link set eth4 master br3
ip link set br3 up
ip link add br4 address 52:54:00:00:00:44 type bridge stp_state 1
ip link set eth5 master br4
ip link set br4 up
ip address add 10.4.0.1/24 dev br4
ip link add docker0 type bridge
ip tuntap add dev vnet0 mode tap
ip link set vnet0 master br3
mount -t tmpfs tmpfs /etc/network
mkdir /etc/network/interfaces.d
cat >/etc/network/interfaces <<.
auto eth2
iface eth2 inet static
    address 192.168.1.77/24
    dns-nameservers 192.168.1.1
auto br9
iface br9 inet manual
    bridge-ports none
.
mount -t tmpfs tmpfs /etc/libvirt 2>/dev/null || true
"""


@pytest.mark.kernel
def test_the_plan_of_an_imported_host_is_empty(tmp_path: Path) -> None:
    """A host that somebody set up by hand, with files that say something else."""
    python = f"{sys.executable} -m bascule"
    script = f"""set -e{HOST}
{python} import --dialect ifupdown --host h --json >{tmp_path}/import.json
{python} import --dialect ifupdown --host h >{tmp_path}/site.yaml
{python} plan {tmp_path}/site.yaml --json --exit-code
"""
    done = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["changes"] == []
    said = json.loads((tmp_path / "import.json").read_text())
    host = said["site"]["hosts"]["h"]
    assert host["as_found"] is True
    assert host["nics"]["eth2"]["address"] == "192.168.1.10/24"
    assert host["nics"]["eth2"]["dns"] == "192.168.1.1"
    assert host["bridges"]["br4"] == {"uplink": "eth5", "address": "10.4.0.1/24", "stp": True}
    told = "\n".join(said["conflicts"])
    assert "eth2: addresses are 192.168.1.10/24 in the kernel, 192.168.1.77/24 in the files" in told
    assert "br3: the kernel has it, no file configures it: it is gone after a reboot" in told
    assert "br9: configured in the files, but the kernel does not have it" in told
    assert any(note.startswith("docker0: left out") for note in said["notes"])
    assert any(note.startswith("eth6: left out") for note in said["notes"])


ODD = """
ip link set lo up
for nic in eth0 eth1 eth2 eth3 eth4; do
    ip link add $nic type veth peer name veth$nic; ip link set $nic up; ip link set veth$nic up
done
ip address add 192.168.1.10/24 dev eth0
ip address add 192.168.1.11/24 dev eth0
ip address add 10.9.9.1/32 dev eth0
ip address add 2001:db8::5/64 dev eth0 nodad
ip route add default via 192.168.1.1
ip route add default via 192.168.1.3 table 100
ip rule add from 192.168.1.11 table 100
ip route add blackhole 10.99.0.0/16
ip link add br0 type bridge; ip link set br0 up; ip link set eth1 master br0
ip address add 10.0.0.1/24 dev br0; ip address add 2001:db8:5::1/64 dev br0 nodad
ip link add br1 type bridge stp_state 1 forward_delay 400; ip link set br1 up
ip link set eth2 master br1; ip link set eth3 master br1
ip address add 172.16.0.5/24 dev eth4 valid_lft 3600 preferred_lft 3600
ip link add mv0 link eth4 type macvlan mode bridge
ip link add vx0 type vxlan id 42 dstport 4789 local 192.168.1.10 remote 192.168.1.99; ip link set vx0 master br1 up
ip link add wg0 type wireguard || true  # what a kernel may lack
mount -t tmpfs tmpfs /etc/network
mkdir -p /etc/libvirt && mount -t tmpfs tmpfs /etc/libvirt && mkdir -p /etc/libvirt/qemu/networks
cat >/etc/libvirt/qemu/networks/lab.xml <<.  # of a libvirt that does not run
<network><name>lab</name><forward mode='nat'/><bridge name='virbr7'/><ip address='192.168.122.1' prefix='24'/></network>
.
"""


@pytest.mark.kernel
def test_the_plan_of_an_odd_host_is_empty(tmp_path: Path) -> None:
    """Several addresses and families, tables, rules, a lease, two ports of a bridge, macvlan, VXLAN, WireGuard."""
    python = f"{sys.executable} -m bascule"
    script = f"{ODD}\n{python} import --host h >{tmp_path}/site.yaml && {python} plan {tmp_path}/site.yaml --json"
    done = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["changes"] == []
    text = (tmp_path / "site.yaml").read_text()
    for told in (
        "virtual networks left out, libvirt has them and does not answer: lab",
        "mv0: left out, links of kind 'macvlan' are not supported",
        "vx0: left out, links of kind 'vxlan' are not supported",
        "ports: [eth3]",
        "routes: [{to: 0.0.0.0/0, via: 192.168.1.3, table: 100}]",
        "rules: [{from: 192.168.1.11/32, table: 100, priority: 32765}]",
        "eth4: {address: dhcp, mac: ",
        "address: [192.168.1.10/24, 10.9.9.1/32, 192.168.1.11/24, 2001:db8::5/64]",
        "br0: {uplink: eth1, address: [10.0.0.1/24, 2001:db8:5::1/64]}",
    ):
        assert told in text, text
