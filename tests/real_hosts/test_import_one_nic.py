"""The commonest user: one NIC with the host's address, and guests that shall be on its network."""

from __future__ import annotations

import json

import pytest

from tests.lab import pings
from tests.real_hosts.field import Field


@pytest.mark.kernel
def test_import_plan_apply_is_the_whole_way_of_a_host_with_one_nic(shared_host: Field) -> None:
    """The host keeps its address and its way out, on a bridge; what was imported without it changes nothing."""
    field = shared_host
    before = field.site(field.bascule("import").stdout, "before.yaml")
    assert json.loads(field.bascule("plan", before, "--json").stdout)["changes"] == []
    done = field.bascule("import", "--bridge", "eth0")
    assert done.returncode == 0, done.stderr
    site = field.site(done.stdout)
    assert "br0: {uplink: eth0, address: from-uplink}" in done.stdout
    try:
        applied = field.bascule("apply", site, "--yes")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "192.168.1.10/24" in field.ip("-br addr show br0")
        assert pings(field.host, "192.168.1.1")
    finally:
        field.bascule("confirm")
        undone = field.bascule("undo")
    assert "192.168.1.10/24" in field.ip("-br addr show eth0"), undone.stderr
