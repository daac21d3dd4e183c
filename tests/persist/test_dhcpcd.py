"""A dhcpcd for all links that starts with the machine is kept away from the links that other files configure."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.detect import dhcpcd_at_boot
from bascule.persist.dialect import dialect
from bascule.persist.foreign.dhcpcd import FILE, configured, twice
from bascule.persist.writer import FileHeader, commit, prepare
from tests.persist.configs import recipe

STAMP = FileHeader("s", "h", "0" * 64)
ALL = {"br3", "br4", "eth2", "eth3", "eth4", "eth5"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"eth2", "eth3", "eth4", "eth5"}),  # bridges are passed over where no block names them
        ("interface br3\nstatic ip_address=10.0.0.5/24\n", ALL - {"br4"}),
        ("denyinterfaces eth[2-4] veth*\n", {"eth5"}),
        ("allowinterfaces eth2 # eth3\ninterface br3\n", {"eth2"}),
    ],
)
def test_which_links_it_configures(text: str, names: set[str]) -> None:
    assert set(configured({FILE: text}, recipe().links.values())) == names


@pytest.mark.parametrize("name", ["networkd", "keyfile", "netplan", "ifupdown", "ifcfg"])
def test_its_file_is_taken_over_with_all_else_that_it_says(name: str, tmp_path: Path) -> None:
    text = "hostname\ninterface br3\nmetric 7\n"
    place = tmp_path / FILE
    place.parent.mkdir(parents=True)
    place.write_text(text)
    plan = prepare(dialect(name), recipe(), {FILE: text}, stamp=STAMP, root=tmp_path)
    [change] = [one for one in plan.changes if one.path == str(place)]
    assert "dhcpcd would configure br3, eth2, eth3, eth4, eth5 as well" in change.reason
    commit(plan)
    assert place.read_text() == f"denyinterfaces br3 eth2 eth3 eth4 eth5\n{text}"
    assert Path(change.place).read_text() == text
    files = {**{one.path.removeprefix(f"{tmp_path}/"): one.new for one in plan.changes if one.new}}
    assert not prepare(dialect(name), recipe(), files, stamp=STAMP, root=tmp_path)


def test_a_link_that_its_own_reader_may_ask_for_by_dhcpcd_is_told_and_not_denied() -> None:
    """``denyinterfaces`` holds for dhcpcd on a command line as well, as ifup has it (seen with dhcpcd 9.4.1)."""
    links = {**recipe().links}
    links[IfName("eth2")] = replace(links[IfName("eth2")], dhcp4=True, addresses=(), routes=())
    config = NetworkConfig.of(links.values(), (), (), ())
    told = dict(twice({FILE: ""}, config, "ifupdown", "/etc/runlevels/default/dhcpcd"))
    assert list(told) == ["eth2"]
    assert "/etc/runlevels/default/dhcpcd" in told[IfName("eth2")]
    assert list(twice({FILE: ""}, config, "networkd", "x")) == []
    assert set(dict(twice({}, config, "networkd", "x"))) == {
        "eth2",
        "eth3",
        "eth4",
        "eth5",
    }  # there is no file to change


def test_what_starts_it(tmp_path: Path) -> None:
    assert dhcpcd_at_boot(tmp_path) == ""
    unit = tmp_path / "etc/systemd/system/multi-user.target.wants/dhcpcd.service"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/lib/systemd/system/dhcpcd.service")
    assert dhcpcd_at_boot(tmp_path) == "/etc/systemd/system/multi-user.target.wants/dhcpcd.service"
    unit.unlink()
    (tmp_path / "etc/runlevels/default").mkdir(parents=True)
    (tmp_path / "etc/runlevels/default/dhcpcd").write_text("#!/sbin/openrc-run\n")
    assert dhcpcd_at_boot(tmp_path) == "/etc/runlevels/default/dhcpcd"
