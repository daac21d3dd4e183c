"""Whose a MAC is: from the shipped table, and from the distribution's registry where there is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bascule.frames.makers import PREFIXES
from bascule.frames.vendors import GUESTS, hypervisor, maker, prefix, virtual_gateway
from bascule.survey.verdicts import judge
from bascule.system.disk import registry
from tests.survey.frames import arp
from tests.survey.hearing import hear

# IEEE's registry, MA-L
FACTS = {
    "00:1b:54:aa:bb:05": "Cisco",
    "3c:ec:ef:00:00:01": "Supermicro",
    "00:1b:21:00:00:01": "Intel",
    "00:02:c9:00:00:01": "Mellanox",
    "00:1c:73:00:00:01": "Arista",
    "00:05:85:00:00:01": "Juniper",
    "00:e0:2b:00:00:01": "Extreme",
    "00:E0:52:00:00:01": "Brocade",
    "4c:5e:0c:00:00:01": "MikroTik",
    "24:a4:3c:00:00:01": "Ubiquiti",
    "02:1b:54:00:00:01": "",  # somebody made it up
    "": "",
}
# what each hypervisor's documentation says of its guests
VIRTUAL = {
    "52:54:00:28:23:af": "QEMU",
    "FE:54:00:28:23:AF": "libvirt's tap",
    "08:00:27:00:00:01": "VirtualBox",
    "00:50:56:80:00:01": "VMware",
    "00:0c:29:00:00:01": "VMware",
    "00:15:5d:00:00:01": "Hyper-V",
    "00:16:3e:00:00:01": "Xen",
    "00:1c:42:00:00:01": "Parallels",
    "bc:24:11:00:00:01": "Proxmox VE",
    "fa:16:3e:00:00:01": "OpenStack",
    "58:9c:fc:00:00:01": "bhyve",
    "00:1b:54:aa:bb:05": "",
}


@pytest.mark.parametrize("mac", FACTS)
def test_a_maker_is_known_by_its_prefix(mac: str) -> None:
    assert maker(mac) == FACTS[mac]


@pytest.mark.parametrize("mac", VIRTUAL)
def test_a_guest_is_known_by_its_hypervisors_prefix(mac: str) -> None:
    assert hypervisor(mac) == VIRTUAL[mac]


def test_a_prefix_has_one_maker_and_no_hypervisor_is_one() -> None:
    every = [number for prefixes in PREFIXES.values() for number in prefixes.split()]
    assert len(every) == len(set(every))
    assert all(re.fullmatch("[0-9a-f]{6}", number) for number in every)
    assert GUESTS.keys().isdisjoint({"00:1b:54", "3c:ec:ef"})


CSV = 'Registry,Assignment,Organization Name,Organization Address\nMA-L,00D861,"Micro-Star INTL CO., LTD.",Taipei\n'
HEX = "OUI/MA-L  Organization\n00-D8-61   (hex)\t\tMicro-Star INTL CO., LTD.\n00D861     (base 16)\t\tMicro-Star\n"


@pytest.mark.parametrize("which", [0, 1], ids=["ieee-data", "hwdata"])
def test_the_registry_of_the_distribution_tells_more(which: int, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "registry"
    path.write_text((CSV, HEX)[which])
    monkeypatch.setattr(registry, "FILES", [(tmp_path / "none", re.compile(b"x")), (path, registry.FILES[which][1])])
    found = registry.makers({"00d861", "ffffff"})
    assert found == {"00d861": "Micro-Star INTL CO., LTD."}
    ears = {"eth4": hear("eth4", arp("10.0.0.9", "10.0.0.1", mac="00:d8:61:00:00:01"))}
    lines = [line.detail for line in judge(ears, makers=found).nics["eth4"].evidence]
    assert "1 machine: 1 Micro-Star INTL CO., LTD." in lines
    assert not any("machine" in line.detail for line in judge(ears).nics["eth4"].evidence)


def test_without_a_registry_nothing_more_is_known(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(registry, "FILES", [(tmp_path / "none", re.compile(b"x"))])
    assert registry.makers({"00d861"}) == {}
    assert registry.makers(()) == {}
    assert prefix("00:D8:61:00:00:01") == "00d861"


@pytest.mark.parametrize(
    ("mac", "shared"),
    [
        ("00:00:5e:00:01:0c", ("VRRP", 12)),
        ("00:00:5e:00:02:0c", ("VRRP", 12)),
        ("00:00:0c:07:ac:0a", ("HSRP", 10)),
        ("00:00:0c:9f:f1:2c", ("HSRP", 300)),
        ("00:05:73:a0:01:2c", ("HSRP", 300)),  # of IPv6
        ("00:07:b4:00:0a:01", ("GLBP", 10)),
        ("00:07:b4:01:2c:02", ("GLBP", 300)),  # ten bits of group
        ("00:07:b4:04:00:01", None),
        ("00:05:73:a1:00:01", None),  # a switch of Cisco's
    ],
)
def test_a_mac_that_routers_share(mac: str, shared: tuple[str, int] | None) -> None:
    assert virtual_gateway(mac) == shared
