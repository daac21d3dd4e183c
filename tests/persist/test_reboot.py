"""After a reboot everything is as it was written, and a manager that starts again takes nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.links import Bond, Bridge, Vlan
from bascule.model.state import PortVlans
from bascule.model.values import IfName, Mac, Vid
from bascule.persist.config import Ipv6, NetworkConfig, StaticRoute
from bascule.persist.dialect import dialect
from tests.persist.configs import nic
from tests.persist.readers import Seen
from tests.persist.vm import boot

MANAGERS = {  # dialect: the unit to start again, and what is switched on
    "networkd": ("systemd-networkd", ("systemd-networkd",)),
    "keyfile": ("NetworkManager", ("NetworkManager", "dbus")),
    "netplan": ("systemd-networkd", ("systemd-networkd",)),
    "ifupdown": ("networking", ("networking",)),
}
GUESTS = Bridge(forward_delay=0, mcast_snooping=0)


def host() -> NetworkConfig:
    """Everything that the usual test kernels lack: a bond, a VLAN on it, a VLAN-aware bridge."""
    aware = Bridge(forward_delay=0, mcast_snooping=0, vlan_filtering=1)
    trunk = (PortVlans(first=1, last=1, pvid=True, untagged=True), PortVlans(first=20, last=29))
    return NetworkConfig.of(
        [
            nic(
                "eth0",
                addresses=("192.168.1.10/24",),
                ipv6=Ipv6.LINK_LOCAL,
                routes=(StaticRoute(dst="0.0.0.0/0", gateway="192.168.1.1"),),
            ),
            nic("eth1", master=IfName("br3")),
            nic("eth2", master=IfName("bond0")),
            nic("eth3", master=IfName("bond0")),
            nic("eth4", master=IfName("br5"), vlans=trunk),
            nic("bond0", options=Bond(mode="active-backup", miimon=100)),
            nic("bond0.30", options=Vlan(id=Vid(30)), parent=IfName("bond0"), master=IfName("br4")),
            nic("br3", options=GUESTS, mac=Mac("52:54:00:00:10:01")),
            nic("br4", options=GUESTS, mac=Mac("52:54:00:00:10:02"), addresses=("10.4.0.1/24",), ipv6=Ipv6.LINK_LOCAL),
            nic("br5", options=aware, mac=Mac("52:54:00:00:10:04")),
        ],
        ["vnet*", "tap*"],
    )


def check(name: str, seen: Seen) -> None:
    links = seen.links
    told = {port: links[port].get("master") for port in ("eth1", "eth2", "eth3", "eth4", "bond0.30")}
    assert told == {"eth1": "br3", "eth2": "bond0", "eth3": "bond0", "eth4": "br5", "bond0.30": "br4"}, seen.stderr
    assert seen.addresses("eth0") == {"192.168.1.10/24"}
    assert seen.addresses("br4") == {"10.4.0.1/24"}
    assert [route["gateway"] for route in seen.routes if route["dst"] == "default"] == ["192.168.1.1"]
    for bridge, mac in (("br3", "01"), ("br4", "02"), ("br5", "04")):
        options = links[bridge]["linkinfo"]["info_data"]
        assert links[bridge]["address"] == f"52:54:00:00:10:{mac}"
        assert (options["stp_state"], options["mcast_snooping"]) == (0, 0), bridge
        if name != "keyfile":
            assert options["forward_delay"] == 0, bridge
        assert options["vlan_filtering"] == int(bridge == "br5")
    for quiet in ("br3", "br5", "eth1", "eth4"):
        assert seen.addresses(quiet) == set()
        assert not seen.has_link_local(quiet), quiet
    bond = links["bond0"]["linkinfo"]["info_data"]
    assert (bond["mode"], bond["miimon"]) == ("active-backup", 100)
    assert links["bond0.30"]["linkinfo"]["info_data"]["id"] == 30
    vlans = {
        (entry["vlan"], entry.get("vlanEnd", entry["vlan"])): entry.get("flags", []) for entry in links["eth4"]["vlans"]
    }
    assert vlans[1, 1] == ["PVID", "Egress Untagged"]
    assert {vid for first, last in vlans for vid in range(first, last + 1)} == {1, *range(20, 30)}


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MANAGERS)
def test_a_reboot_changes_nothing(name: str, tmp_path: Path) -> None:
    unit, enable = MANAGERS[name]
    files = dialect(name).render(host())
    first, again = boot(
        tmp_path, files, unit=unit, enable=enable, ready="br3 br4 br5" if name != "networkd" else "br3 br5", nics=5
    )
    check(name, first)
    check(name, again)
    if name != "ifupdown":  # its restart takes every link down and up again; the others only adopt
        assert again.links["vnet0"].get("master") == "br3"
