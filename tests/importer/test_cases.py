"""Small configurations of real hosts: cases/NAME/etc/… becomes cases/NAME/site.yaml, comments and all.

A new case needs no code: write its files, run once with BASCULE_WRITE_GOLDEN=1, and read what came out, line by line,
before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bascule import workflow
from bascule.importer.importing import Imported
from bascule.model.dialects import persistent
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.foreign.carried import as_said_by
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.wanted import wanted_config

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


def imported(case: Path) -> Imported:
    return workflow.import_host(root=str(case), host="h")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_configuration_becomes_its_site_file(case: Path) -> None:
    found = imported(case)
    golden = case / "site.yaml"
    if os.environ.get("BASCULE_WRITE_GOLDEN"):
        golden.write_text(found.text)
    assert found.text == golden.read_text()


def declared(case: Path) -> NetworkConfig | None:
    """What the site file of a case means; None where somebody must say first which NIC an uplink is."""
    site = workflow.load(str(case / "site.yaml"))
    host = site.hosts["h"]
    unknown = [bridge.uplink_unknown for bridge in host.bridges.values()]
    unknown += [bond.nics_unknown for bond in host.bonds.values()]
    return None if any(unknown) else wanted_config(site, host)


@pytest.mark.parametrize("name", persistent())
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_what_was_imported_goes_to_every_dialect_and_back(case: Path, name: str, tmp_path: Path) -> None:
    """Rendered, and imported again: the same host, or the dialect names what it does not support."""
    config = declared(case)
    if config is None or not config.links:
        return
    try:
        files = dialect(name).render(config)
    except Inexpressible as gap:
        assert all(name in problem.message for problem in gap.problems)
        return
    for path, text in files.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    again = workflow.import_host(root=str(tmp_path), dialect_name=name, host="h")
    assert again.left == ()
    if any(map(is_switch, config.links.values())) and "VLANs" in (dialect(name).openvswitch or ()):
        return  # the database of Open vSwitch says the rest
    site = workflow.load(str(case / "site.yaml"))
    meant = as_said_by(wanted_config(site, site.hosts["h"]), name)
    found = as_said_by(wanted_config(again.site, again.site.hosts["h"]), name)
    assert found.links == meant.links
