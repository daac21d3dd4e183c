"""T6: hosts with copies of one file give their guests MACs of their own; one that a guest has already stays."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.domain import Domain, DomainNic
from bascule.model.values import IfName, derive_guest_mac, derive_mac, tap_mac
from bascule.plan.make import site_as_it_runs
from bascule.providers.guest_nics import with_live_taps
from bascule.providers.observe import observe
from bascule.site import parse
from tests.real_hosts.field import BASE, Field


def test_t06_copied_files_share_no_mac() -> None:
    one = parse(BASE.encode(), "site.yaml")
    other = parse(BASE.replace("kvm", "kvm2").encode(), "site.yaml")
    assert one.guests["web"].nics[0].mac != other.guests["web"].nics[0].mac
    assert one.guests["web"].nics[0].mac == derive_guest_mac(one.name, "kvm", "web", 0)


def test_t06_a_guest_that_runs_with_its_old_mac_keeps_it(real_host: Field) -> None:
    """Its tap says so, and verify asks for that one."""
    field, path = real_host, real_host.site(BASE)
    site = parse(BASE.encode(), "site.yaml")
    old = derive_mac(site.name, "web", 0)
    web = field.guest("web", "web.0", "192.168.1.21/24")
    field.ip(f"link set eth0 address {old}", web)
    field.ip(f"link set web.0 address {tap_mac(old)}")
    with field.host.entered():
        (nic,) = site_as_it_runs(site, site.hosts["kvm"], observe()).guests["web"].nics
    assert nic.mac == old
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    field.listen(web, 80)
    said = field.document("verify", path)
    assert said["ok"], [check for check in said["checks"] if not check["ok"]]
    assert any(old in check["detail"] for check in said["checks"])


@pytest.mark.parametrize("running", [True, False])
def test_t06_a_guest_that_is_defined_with_its_old_mac_keeps_it(running: bool) -> None:
    site = parse(BASE.encode(), "site.yaml")
    nic = DomainNic(index=0, kind="bridge", into="br0", mac=derive_mac(site.name, "web", 0), tap=IfName("vnet3"))
    domain = Domain(name="web", running=running, nics=(nic,), next_nics=(replace(nic, tap=None),))
    (found,) = with_live_taps(site, site.hosts["kvm"], [domain]).guests["web"].nics
    assert found.mac == nic.mac
    assert found.tap == ("vnet3" if running else "web.0")
