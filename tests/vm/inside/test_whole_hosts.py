"""Whole hosts, built for real from tests/importer/hosts: imported as they stand, and nothing is to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bascule.apply.prepare import look, prepare_from
from bascule.importer.importing import Sources, import_with_empty_plan
from bascule.model.site import Host, Site
from bascule.plan.change import Plan
from bascule.providers.observe import observe
from bascule.system.run import run
from tests.lab import Lab

HOSTS = Path(__file__).parents[2] / "importer/hosts"
QUICK = {"proxmox", "router"}
BUILDS = [
    path for path in sorted(HOSTS.glob("*/build.sh")) if path.parent.name in QUICK or os.environ.get("BASCULE_SOAK")
]


@pytest.mark.parametrize("build", BUILDS, ids=lambda path: path.parent.name)
def test_nothing_is_to_do_on_a_host_that_was_imported(lab: Lab, build: Path) -> None:
    host, wire = lab.namespace("host"), lab.namespace("wire")
    script = f"WIRE=/proc/{os.getpid()}/fd/{wire.fd}\n{(HOSTS / 'prelude.sh').read_text()}{build.read_text()}"
    run(("sh", "-c", script), namespace=host)
    sources = Sources(host="h", site="h", dialect=None, state=observe(namespace=host))

    def plan_of(site: Site, there: Host) -> Plan:
        return prepare_from(site, there, look(site, there, host), networks_are_made=True).plan

    found = import_with_empty_plan(sources, plan_of)
    prepared = prepare_from(found.site, found.site.hosts["h"], look(found.site, found.site.hosts["h"], host))
    assert [(change.subject, change.action) for change in prepared.plan.changes] == [], found.text
    expected = build.with_name("site.yaml").read_text()
    for name in (*found.site.hosts["h"].bridges, *found.site.hosts["h"].bonds, *found.site.hosts["h"].vlans):
        assert f"{name}: {{" in expected or f"{name}:\n" in expected, found.text
