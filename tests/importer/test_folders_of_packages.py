"""Files below /run and /usr/lib are what a host runs with: read, shadowed and turned off as their own readers do."""

from __future__ import annotations

from pathlib import Path

from bascule.importer.gather import gather
from bascule.importer.importing import Imported, import_sources

UNIT = "[Match]\nName={}\n[Network]\nAddress={}/24\n{}"
PROFILE = (
    "[connection]\nid=a\nuuid=11111111-2222-3333-4444-555555555555\ntype=ethernet\ninterface-name=eth0\n"
    "[ipv4]\nmethod=manual\naddress1={}/24\n"
)
NETPLAN = "network: {{version: 2, ethernets: {{eth0: {{addresses: [{}/24]}}}}}}\n"


def put(root: Path, path: str, text: str) -> None:
    """A file below a root."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def imported(root: Path) -> Imported:
    """What an import makes of them."""
    return import_sources(gather(root=str(root), dialect_name=None, host="h", site_name=None))


def addresses(found: Imported) -> dict[str, list[str]]:
    """Of each NIC."""
    return {name: [str(ip) for ip in nic.addresses] for name, nic in found.site.hosts["h"].nics.items()}


def test_units_of_networkd(tmp_path: Path) -> None:
    """/etc before /run before /usr/lib, by the name of the unit; a link to /dev/null turns one off."""
    put(tmp_path, "usr/lib/systemd/network/20-eth0.network", UNIT.format("eth0", "10.0.0.1", "DNSSEC=no\n"))
    for number, folder in enumerate(("usr/lib", "run", "etc"), 1):
        put(tmp_path, f"{folder}/systemd/network/21-eth1.network", UNIT.format("eth1", f"10.1.0.{number}", ""))
    for number, folder in enumerate(("usr/lib", "run"), 1):
        put(tmp_path, f"{folder}/systemd/network/22-eth2.network", UNIT.format("eth2", f"10.2.0.{number}", ""))
    put(tmp_path, "usr/lib/systemd/network/23-eth3.network", UNIT.format("eth3", "10.3.0.1", ""))
    (tmp_path / "etc/systemd/network/23-eth3.network").symlink_to("/dev/null")
    put(
        tmp_path,
        "usr/lib/systemd/network/80-container-host0.network",
        UNIT.format("host0\nVirtualization=container", "0.0.0.0", ""),
    )
    found = imported(tmp_path)
    assert addresses(found) == {"eth0": ["10.0.0.1/24"], "eth1": ["10.1.0.3/24"], "eth2": ["10.2.0.2/24"]}
    assert [str(each) for each in found.left] == [
        "usr/lib/systemd/network/20-eth0.network:5: [Network] DNSSEC=no: not taken"
    ]
    assert "23-eth3.network: a link to /dev/null" in found.text


def test_units_of_packages_alone(tmp_path: Path) -> None:
    """An image whose network is built in; what systemd brings for containers says nothing."""
    put(tmp_path, "usr/lib/systemd/network/20-eth0.network", UNIT.format("eth0", "10.0.0.1", ""))
    assert addresses(imported(tmp_path)) == {"eth0": ["10.0.0.1/24"]}


def test_netplan(tmp_path: Path) -> None:
    """/run shadows /etc, and that /usr/lib (netplan's own order)."""
    for number, folder in enumerate(("usr/lib", "etc", "run"), 1):
        put(tmp_path, f"{folder}/netplan/50-a.yaml", NETPLAN.format(f"10.0.0.{number}"))
        assert addresses(imported(tmp_path)) == {"eth0": [f"10.0.0.{number}/24"]}


def test_profiles_of_network_manager(tmp_path: Path) -> None:
    """One UUID is one profile: that in /run comes before that in /etc, and that before the package's."""
    for number, folder in enumerate(("usr/lib", "etc", "run"), 1):
        put(tmp_path, f"{folder}/NetworkManager/system-connections/a.nmconnection", PROFILE.format(f"10.0.0.{number}"))
        assert addresses(imported(tmp_path)) == {"eth0": [f"10.0.0.{number}/24"]}


def test_what_networkmanager_made_up_itself_says_nothing(tmp_path: Path) -> None:
    """It writes a profile for each link that it found configured by others, with a UUID of its own."""
    put(tmp_path, "etc/NetworkManager/system-connections/a.nmconnection", PROFILE.format("10.0.0.1"))
    own = PROFILE.format("10.0.0.9").replace("id=a", "id=eth0").replace("1111", "7777")
    put(tmp_path, "run/NetworkManager/system-connections/eth0.nmconnection", f"{own}\n[.nmmeta]\nnm-generated=true\n")
    assert addresses(imported(tmp_path)) == {"eth0": ["10.0.0.1/24"]}
