"""Domain and network XML: valid by libvirt's own schemas, and what is not understood stays as it was."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from lxml import etree
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.domain import DomainText, LibvirtNetwork, NetworkText
from bascule.model.site import Attachment, Guest, Mode, PlugKind
from bascule.providers.libvirt import domain_xml, network_xml
from bascule.providers.libvirt import parse as libvirt
from tests.guests.values import SSH, guest, nic, resolved_network, site, virtual_network

SCHEMAS = Path("/usr/share/libvirt/schemas")

HAND_MADE = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>old</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <metadata>
    <inv:card xmlns:inv="http://example.org/inventory" owner="ann"><inv:rack>7</inv:rack></inv:card>
  </metadata>
  <memory unit='MiB'>512</memory>
  <currentMemory unit='MiB'>256</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <!-- the cable to the lab; ask Bob first -->
    <interface type='network'>
      <mac address='52:54:00:AA:BB:01'/>
      <source network='default' portid='32800423-42a0-46c0-a268-987f13a3184b' bridge='virbr0'/>
      <target dev='vnet3'/>
      <model type='e1000'/>
      <filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.5'/></filterref>
      <bandwidth><inbound average='1000'/></bandwidth>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </interface>
  </devices>
  <qemu:commandline><qemu:arg value='-trace'/></qemu:commandline>
</domain>
"""


@cache
def schema(kind: str) -> etree.RelaxNG:
    if not SCHEMAS.is_dir():
        pytest.skip("libvirt's schemas are not installed (make vm-tools)")
    return etree.RelaxNG(etree.parse(str(SCHEMAS / f"{kind}.rng")))


def assert_valid(kind: str, xml: str) -> None:
    rules = schema(kind)
    assert rules.validate(etree.fromstring(xml)), f"{rules.error_log}\n{xml}"


PLAIN = guest("g1", nic("g1", 0, "br3", "192.168.1.33/24"), nic("g1", 1, "lab", plug=PlugKind.NETWORK))
GUESTS = {
    "diskless": PLAIN,
    "disks": replace(PLAIN, disks=("/var/lib/a.qcow2", "/dev/vg0/b"), vcpus=4, memory=8 << 30),
    "installed from an ISO": replace(PLAIN, disks=("/a.img",), iso="/iso/debian, 12.iso"),
    "kernel": replace(PLAIN, kernel="/k", initrd="/i", cmdline="console=ttyS0 a=<b>&c"),
    "macvtap": guest("g2", nic("g2", 0, "eth4", plug=PlugKind.DIRECT)),
    "without NIC": guest("g3"),
}


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("accel", ["kvm", "tcg"])
def test_every_kind_of_guest_is_valid(name: str, accel: str) -> None:
    assert_valid("domain", domain_xml.build(GUESTS[name], accel=accel))


def test_a_built_domain_reads_back_as_it_was_meant() -> None:
    meant = GUESTS["disks"]
    xml = domain_xml.build(meant)
    read = libvirt.domain(DomainText(name="g1", running=False, persistent=True, autostart=False, now=xml, next=xml))
    assert (read.memory, read.vcpus) == (8 << 30, 4)
    assert [(n.mac, n.kind, n.into, n.tap) for n in read.nics] == [
        (n.mac, n.plug.value, n.into, n.tap) for n in meant.nics
    ]


def test_a_replug_changes_the_plug_and_nothing_else() -> None:
    root = domain_xml.parse(HAND_MADE)
    old = domain_xml.find(root, "52:54:00:aa:bb:01")
    assert old is not None
    new = domain_xml.replugged(old, Attachment(PlugKind.BRIDGE, "br4"))
    old.getparent().replace(old, new)  # type: ignore[union-attr]  # it was found below devices
    text = domain_xml.text(root)
    assert_valid("domain", text)
    want = HAND_MADE.replace("<interface type='network'>", "<interface type='bridge'>").replace(
        "<source network='default' portid='32800423-42a0-46c0-a268-987f13a3184b' bridge='virbr0'/>",
        "<source bridge='br4'/>",
    )
    assert canonical(text) == canonical(want)


def test_moving_off_open_vswitch_forgets_its_port_and_staying_keeps_it() -> None:
    element = domain_xml.parse(
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='ovs0'/>"
        "<virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>"
        "</interface>"
    )
    plain = domain_xml.replugged(element, Attachment(PlugKind.BRIDGE, "br3"))
    assert plain.find("virtualport") is None
    same = domain_xml.replugged(element, Attachment(PlugKind.BRIDGE, "ovs0"))
    assert domain_xml.text(same) == domain_xml.text(element)


def test_an_existing_definition_is_brought_to_the_file_with_all_else_kept() -> None:
    given = replace(nic("old", 0, "br3"), mac_given=True)
    wanted = Guest(name="old", host="h", memory=1 << 30, nics=(given,))
    text, unknown = domain_xml.edited(HAND_MADE, wanted)
    assert_valid("domain", text)
    assert unknown == ["52:54:00:aa:bb:01 on network default"]
    for kept in ("ask Bob first", "inv:rack", "qemu:arg", "clean-traffic", "c7a5fdbd"):
        assert kept in text
    assert '<memory unit="KiB">1048576</memory>' in text
    again, _ = domain_xml.edited(text, wanted)
    assert canonical(again) == canonical(text)


def test_a_nic_without_a_mac_in_the_file_is_the_one_of_its_number() -> None:
    wanted = Guest(name="old", host="h", nics=(nic("old", 0, "br3"), nic("old", 1, "br4")))
    text, unknown = domain_xml.edited(HAND_MADE, wanted)
    assert_valid("domain", text)
    found = domain_xml.interfaces(domain_xml.parse(text))
    assert [domain_xml.mac_of(element) for element in found] == ["52:54:00:aa:bb:01", wanted.nics[1].mac]
    assert [domain_xml.plug_of(element) for element in found] == [("bridge", "br3"), ("bridge", "br4")]
    assert unknown == []
    again, _ = domain_xml.edited(text, wanted)
    assert canonical(again) == canonical(text)


@pytest.mark.parametrize(
    ("kind", "source", "to", "reason"),
    [
        ("bridge", "bridge='br3'", Attachment(PlugKind.BRIDGE, "br4"), None),
        ("network", "network='default'", Attachment(PlugKind.BRIDGE, "br4"), None),
        ("bridge", "bridge='br3'", Attachment(PlugKind.NETWORK, "lab"), None),
        ("direct", "dev='eth4'", Attachment(PlugKind.BRIDGE, "br4"), "a macvtap cannot be moved"),
        ("direct", "dev='eth4'", Attachment(PlugKind.DIRECT, "eth4"), None),
        ("bridge", "bridge='br3'", Attachment(PlugKind.DIRECT, "eth4"), "cannot become a macvtap"),
        ("user", "", Attachment(PlugKind.BRIDGE, "br4"), "type 'user'"),
    ],
)
def test_what_libvirt_can_do_live(kind: str, source: str, to: Attachment, reason: str | None) -> None:
    element = domain_xml.parse(f"<interface type='{kind}'><source {source}/></interface>")
    said = domain_xml.why_not_live(element, to)
    assert (said is None) if reason is None else (said is not None and reason in said)


def test_broken_xml_is_an_error_with_words() -> None:
    with pytest.raises(BasculeError, match=r"error\[XML-BROKEN\]: this is no well-formed XML"):
        domain_xml.parse("<domain><name>x</domain>")


def test_entities_are_not_followed() -> None:
    xml = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>'
    assert "root:" not in domain_xml.text(domain_xml.parse(xml))


# -- networks


TWO = ("192.168.122.0/24", "fd00:1::/64")


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("subnets", [TWO[:1], TWO])
@pytest.mark.parametrize("forwards", [(), (SSH,)])
def test_every_kind_of_network_is_valid_and_needs_no_change_after_it_was_made(mode, subnets, forwards) -> None:  # type: ignore[no-untyped-def]
    told = site(
        guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)),
        networks=(virtual_network(mode, forwards=forwards, subnets=subnets),),
    )
    xml = network_xml.build(resolved_network(told))
    assert_valid("network", xml)
    read = libvirt.network(NetworkText(name="lab", active=True, persistent=True, autostart=True, now=xml, next=xml))
    assert not network_xml.restart_reasons(read, resolved_network(told))
    assert network_xml.with_dhcp(xml, resolved_network(told)) == xml


def made(**other: object) -> LibvirtNetwork:
    facts: dict[str, object] = {
        "name": "lab",
        "mode": "nat",
        "bridge": "virbr0",
        "addresses": (ip_interface("192.168.122.1/24"),),
        "ranges": ((ip_address("192.168.122.100"), ip_address("192.168.122.200")),),
    }
    return LibvirtNetwork(**facts | other)  # type: ignore[arg-type]


def wanted_network(mode: Mode = Mode.NAT, **other: object):  # type: ignore[no-untyped-def]
    told = site(
        guest("g1", nic("g1", 0, "lab", "192.168.122.21/24", plug=PlugKind.NETWORK)),
        networks=(virtual_network(mode, **other),),  # type: ignore[arg-type]
    )
    return resolved_network(told)


def updates(*hosts: str, ranges: str = "<range start='192.168.122.100' end='192.168.122.200'/>") -> list[str]:
    """How a network with these reservations gets the one of the file, in the words of libvirt's net-update."""
    dhcp = f"<dhcp>{ranges}{''.join(hosts)}</dhcp>"
    xml = f"<network><name>lab</name><ip address='192.168.122.1' netmask='255.255.255.0'>{dhcp}</ip></network>"
    found = network_xml.updates(xml, network_xml.with_dhcp(xml, wanted_network()))
    assert found is not None, "no restart, so nobody is cut off"
    return list(map(str, found))


OURS = f'<host mac="{wanted_network().reservations[0].mac}" ip="192.168.122.21" name="g1"/>'


def test_a_new_reservation_is_an_update_that_cuts_nobody() -> None:
    assert updates() == [f"net-update add-last ip-dhcp-host {OURS}"]
    assert updates(OURS) == []


def test_a_reservation_that_takes_ours_goes_and_foreign_ones_stay() -> None:
    theirs, other = '<host ip="192.168.122.21" name="x"/>', '<host ip="192.168.122.77" name="y"/>'
    assert updates(theirs, other) == [
        f"net-update delete ip-dhcp-host {theirs}",
        f"net-update add-last ip-dhcp-host {OURS}",
    ]


def test_another_range_is_an_update_as_well() -> None:
    old, new = (
        '<range start="192.168.122.50" end="192.168.122.60"/>',
        '<range start="192.168.122.100" end="192.168.122.200"/>',
    )
    assert updates(OURS, ranges=old) == [
        f"net-update delete ip-dhcp-range {old}",
        f"net-update add-last ip-dhcp-range {new}",
    ]


def test_a_second_address_of_another_ip_version_leaves_the_reservation_alone() -> None:
    told = site(
        guest("g1", nic("g1", 0, "lab", "192.168.122.21/24", "fd00:1::21/64", plug=PlugKind.NETWORK)),
        networks=(virtual_network(Mode.NAT, subnets=TWO),),
    )
    one = resolved_network(told)
    assert network_xml.with_dhcp(network_xml.build(one), one) == network_xml.build(one)


def test_another_mode_or_subnet_needs_a_restart_and_says_why() -> None:
    assert network_xml.restart_reasons(made(), wanted_network(Mode.ROUTED)) == ("its mode is nat and shall be route",)
    assert network_xml.restart_reasons(made(), wanted_network(forwards=(SSH,))) == (
        "its mode is nat and shall be open",
    )
    wide = replace(wanted_network(), mtu=9000)
    assert network_xml.restart_reasons(made(), wide) == ("its MTU is 1500 and shall be 9000",)
    assert network_xml.restart_reasons(made(mtu=9000), wide) == ()
    assert_valid("network", network_xml.build(wide))
    moved = network_xml.restart_reasons(made(addresses=(ip_interface("10.0.0.1/24"),)), wanted_network())
    assert moved == ("its addresses are 10.0.0.1/24 and shall be 192.168.122.1/24",)


def test_an_edited_network_keeps_what_it_had() -> None:
    xml = """<network><name>lab</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
    <forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward><bridge name='virbr0' stp='on' delay='0'/>
    <!-- Bob's --><dns><txt name='a' value='b'/></dns>
    <ip address='10.0.0.1' netmask='255.255.255.0'/><portgroup name='slow'/></network>"""
    text = network_xml.edited(xml, wanted_network(Mode.ROUTED))
    assert_valid("network", text)
    for kept in ("c7a5fdbd", "Bob's", "txt", "portgroup", "virbr0"):
        assert kept in text
    assert "route" in text
    assert "10.0.0.1" not in text


def canonical(xml: str) -> str:
    return etree.canonicalize(xml, strip_text=True, with_comments=True)
