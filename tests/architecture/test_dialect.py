"""A dialect is one folder and one entry: then every place that knows dialects has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bascule.persist
from bascule.model import dialects
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.persist import reference
from bascule.persist.detect import detect
from bascule.persist.persister import find_persister
from bascule.persist.takeover import take_over
from bascule.persist.wanted import declared_state
from bascule.site import parse

FOLDER = Path(__file__).parent / "dialect"
ENTRY = dialects.Registered(name="dummy")
SITE = """\
site: s
hosts:
  h:
    persist: dummy
    nics: {eth0: {address: [192.0.2.5/24, "2001:db8::5/64"]}, eth1: {}}
"""


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder beside the other dialects', and the entry in the list."""
    monkeypatch.setattr(bascule.persist, "__path__", [*bascule.persist.__path__, str(FOLDER)])
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, ENTRY))
    for name in [name for name in sys.modules if name.startswith("bascule.persist.dummy")]:
        monkeypatch.delitem(sys.modules, name)


def host(root: Path) -> None:
    """Started by dummyd."""
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "dummyd.service").symlink_to("/lib/systemd/system/dummyd.service")


def wanted(site: Site) -> HostState:
    return declared_state(site, site.hosts["h"])


@pytest.mark.usefixtures("entered")
def test_a_host_keeps_its_network_in_it(tmp_path: Path) -> None:
    host(tmp_path)
    assert detect(tmp_path).choose() == "dummy"
    site = parse(SITE.replace("    persist: dummy\n", "").encode(), "site.yaml")
    persister, why = find_persister(site, site.hosts["h"], root=str(tmp_path))
    assert persister is not None, why
    assert persister.write(wanted(site)) == [str(tmp_path / "etc/dummy.conf")]
    head, *lines = (tmp_path / "etc/dummy.conf").read_text().splitlines()
    assert head.startswith("# Written by bascule for host h of site s")
    assert lines == ["eth0 auto 192.0.2.5/24 2001:db8::5/64", "eth1 off"]
    assert persister.changes(wanted(site)) == (), "what is written reads back as it is wanted"
    assert detect(tmp_path).candidates[0].configures


@pytest.mark.usefixtures("entered")
def test_its_manager_is_told() -> None:
    assert take_over(["/etc/dummy.conf"]) == ("dummyd does not run",)
    assert take_over(["/etc/elsewhere.conf"]) == ()


@pytest.mark.usefixtures("entered")
def test_the_reference_has_it() -> None:
    page = reference.page()
    assert "| `dummy` | `/etc/dummy.conf` | nobody |" in page
    assert "| | ifcfg | keyfile | networkd | netplan | ifupdown | dummy |" in page
    assert "| a static IPv4 address | yes | yes | yes | yes | yes | yes |" in page
    assert "| MTU | yes | yes | yes | yes | yes | – |" in page
    assert "* **dummy**. It knows NICs and their addresses." in page


def test_the_verbs_have_it(tmp_path: Path) -> None:
    """In a process of its own, whose first lines are the entry and the folder."""
    (tmp_path / "site.yaml").write_text(SITE)
    head = "; ".join(
        (
            "import bascule.persist, bascule.model.dialects as d, bascule.cli",
            f"bascule.persist.__path__.append({str(FOLDER)!r})",
            "d.DIALECTS += (d.Registered(name='dummy'),)",
            "bascule.cli.program()",
        )
    )

    def bascule_(*words: str) -> str:
        done = subprocess.run([sys.executable, "-c", head, *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    bascule_("check", "site.yaml")
    assert '"dummy"' in bascule_("schema")
    assert "ifupdown, dummy" in " ".join(bascule_("render", "--help").replace(",\n", ", ").split()).replace(
        "commands, ", ""
    )
    bascule_("render", "site.yaml", "--dialect", "dummy", "-o", "new")
    assert "eth1 off\n" in (tmp_path / "new/etc/dummy.conf").read_text()
    imported = bascule_("import", "--root", "new", "--host", "h")
    assert "# Imported from the dummy files." in imported
    assert "address: [192.0.2.5/24, 2001:db8::5/64]" in imported


def test_the_folders_are_the_list() -> None:
    """None is left out, and each part has the name by which it is found."""
    room = Path(bascule.persist.__path__[0])
    folders = {path.parent.name for path in room.glob("*/__init__.py") if "DIALECT = " in path.read_text()}
    assert folders == {each.name for each in dialects.DIALECTS}
    for each in dialects.DIALECTS:
        assert (room / each.name / "parse.py").exists() == each.reads, each.name
        assert (room / each.name / "render.py").exists() == each.writes, each.name
