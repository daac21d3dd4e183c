"""What is no configuration at all is an error that says so; what is one in an odd spelling is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import UsageFault
from bascule.importer.gather import gather
from bascule.importer.importing import Imported, import_sources
from bascule.model.values import IfName

FILES = {
    "etc/network/interfaces": "outside of a stanza",
    "etc/netplan/1.yaml": "",
    "etc/systemd/network/1.network": "no [Match]",
    "etc/sysconfig/network-scripts/ifcfg-eth0": "a command; files are read, not run",
    "etc/NetworkManager/system-connections/a.nmconnection": "no [connection]",
}
NONE = {
    "html": b"<html><body>404</body></html>\n",
    "dockerfile": b"FROM debian:12\nRUN apt-get update\n",
    "kubernetes": b"apiVersion: v1\nkind: Pod\n",
    "passwd": b"root:x:0:0:root:/root:/bin/bash\n" * 9,
    "picture": b"\x89PNG\r\n\x1a\n",
}
STANZA = "# caf\u00e9\nauto eth0\niface eth0 inet static\n  address 10.0.0.5/24\n"
SPELLINGS = {
    "CRLF": STANZA.replace("\n", "\r\n").encode(),
    "a byte order mark": b"\xef\xbb\xbf" + STANZA.encode(),
    "Latin-1": STANZA.encode("latin-1"),
}


def refused(root: Path, dialect: str | None = None) -> str:
    """The error, which names the code and nothing of Python's."""
    with pytest.raises(UsageFault) as error:
        import_sources(gather(root=str(root), dialect_name=dialect, host=None, site_name=None))
    assert error.value.problems[0].code == "NO-CONFIGURATION"
    return error.value.problems[0].message


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("kind", NONE)
def test_text_of_something_else(tmp_path: Path, path: str, kind: str) -> None:
    """In each place where a configuration may stand; the file is named with the reason."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(NONE[kind])
    message = refused(tmp_path)
    assert f"found: '{path}': {FILES[path]}" in message


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    """An empty folder, a binary, a file of 17 MiB, a link that leads nowhere, a folder in place of a file."""
    assert refused(tmp_path) == refused(tmp_path, "networkd") == "no network configuration was found"
    file = tmp_path / "etc/network/interfaces"
    file.mkdir(parents=True)
    refused(tmp_path)
    file.rmdir()
    for data, why in ((b"\x7fELF\0\0\0", "binary"), (b"# x\n" * (5 << 20), "larger than 16 MiB")):
        file.write_bytes(data)
        assert f"'etc/network/interfaces': not read: {why}" in refused(tmp_path)
    file.unlink()
    file.symlink_to("/nonexistent")
    assert "not read: no such file or directory" in refused(tmp_path)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_odd_spelling_is_read(tmp_path: Path, spelling: str) -> None:
    """Files that were written elsewhere."""
    file = tmp_path / "etc/network/interfaces"
    file.parent.mkdir(parents=True)
    file.write_bytes(SPELLINGS[spelling])
    found = import_sources(gather(root=str(tmp_path), dialect_name=None, host="h", site_name=None))
    assert str(found.site.hosts["h"].nics[IfName("eth0")].addresses[0]) == "10.0.0.5/24"
    assert not found.left


def test_a_file_that_says_little_is_a_configuration(tmp_path: Path) -> None:
    """What is not supported is told, and no error."""
    file = tmp_path / "etc/netplan/1.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("network: {version: 2, wifis: {wlan0: {dhcp4: true}}}\n")
    found = import_sources(gather(root=str(tmp_path), dialect_name=None, host="h", site_name=None))
    assert "wireless" in found.left[0].why


def imported(root: Path, path: str, data: bytes) -> Imported:
    """What is read from one file."""
    (root / path).parent.mkdir(parents=True)
    (root / path).write_bytes(data)
    return import_sources(gather(root=str(root), dialect_name=None, host="h", site_name=None))


SPOILED = {
    "etc/network/interfaces": STANZA + "  mtu 90\0\n  gateway 10.0.0.1\n",
    "etc/netplan/1.yaml": "network:\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/24]\n  \0   mtu: 90\n"
    "      gateway4: 10.0.0.1\n",
    "etc/systemd/network/1.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.5/24\nGateway=10.0.0.1\n"
    "[Link]\nMTUBytes=\09000\n",
    "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nIPADDR=10.0.0.5\nPREFIX=24\nGATEWAY=10.0.0.1\nM\0TU=90\n",
    "etc/NetworkManager/system-connections/a.nmconnection": "[connection]\ntype=ethernet\ninterface-name=eth0\n"
    "[ipv4]\nmethod=manual\naddress1=10.0.0.5/24,10.0.0.1\n" + "\0" * 4096,
}


@pytest.mark.parametrize("path", SPOILED)
def test_a_line_with_bytes_that_are_no_text_costs_that_line(path: str, tmp_path: Path) -> None:
    """As a power cut leaves them."""
    found = imported(tmp_path, path, SPOILED[path].encode())
    nic = found.site.hosts["h"].nics[IfName("eth0")]
    assert (*map(str, nic.addresses), *map(str, nic.gateways), nic.mtu) == ("10.0.0.5/24", "10.0.0.1", None)
    assert [each.line for each in found.left] == [SPOILED[path].split("\0")[0].count("\n") + 1]


YAML = """\
network:
  version: 2
  ethernets:
    eno1:
\t  mtu: 9000
      addresses: [10.0.0.5/24]
    eno2: [unclosed
    eno3:
      dhcp4: false
     mtu: 1400
  bridges:
    br0:
      interfaces: [eno3]
      addresses: [10.1.0.5/24]
"""


def test_lines_that_are_no_yaml_cost_those_lines(tmp_path: Path) -> None:
    """A tab, a bracket, a wrong depth; netplan itself would take nothing of the file, and the note says so."""
    found = imported(tmp_path, "etc/netplan/1.yaml", YAML.encode())
    host = found.site.hosts["h"]
    assert str(host.nics[IfName("eno1")].addresses[0]) == "10.0.0.5/24"
    assert host.bridges[IfName("br0")].uplink == "eno3"
    assert [(each.line, each.text) for each in found.left] == [
        (5, "mtu: 9000"),
        (7, "eno2: [unclosed"),
        (10, "mtu: 1400"),
    ]
    assert all("netplan takes nothing of a file with such a line" in each.why for each in found.left)
