"""D3: a pinned MAC that several links wear is that of the NIC which the file names."""

from __future__ import annotations

from tests.real_hosts.field import MACS, ONE_NIC, Field

PINNED = """\
site: pins
networks: {{office: {{subnet: 192.168.1.0/24}}}}
hosts: {{elsewhere: {{nics: {{{name}: {{network: office, mac: '{mac}'}}}}}}}}
"""


def test_d03_two_nics_of_one_mac_are_told_apart_by_name(real_host: Field) -> None:
    """As of four ports of one old card, or of NICs that a hypervisor copied."""
    real_host.ip(f"link set eth1 address {MACS['eth0']}")
    for name in ("eth0", "eth1"):
        said = real_host.document("plan", real_host.site(PINNED.format(name=name, mac=MACS["eth0"])))
        assert said["ok"], said
    said = real_host.document("plan", real_host.site(PINNED.format(name="eth7", mac=MACS["eth0"])))
    assert said["problems"][0]["code"] == "NIC-RENAMED"


def test_d03_an_altname_is_no_missing_nic(real_host: Field) -> None:
    real_host.ip("link property add dev eth0 altname enp9s0")
    site = real_host.site(ONE_NIC.replace("eth0", "enp9s0"))
    said = real_host.document("plan", site)
    (problem,) = said["problems"]
    assert problem["code"] == "NIC-RENAMED"
    assert "'enp9s0' is another name of the NIC 'eth0'" in problem["message"] and "write 'eth0'" in problem["hint"]
