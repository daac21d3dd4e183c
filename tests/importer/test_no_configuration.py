"""What is no configuration at all is an error that says so; what is one in an odd spelling is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import UsageFault
from bascule.importer.gather import gather
from bascule.importer.importing import import_sources
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
