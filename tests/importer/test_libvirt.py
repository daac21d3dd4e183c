"""What of libvirt's XML decides about a guest's wire stands in the site file, or is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.importer.importing import Imported, Sources, import_sources
from bascule.model.links import Bridge
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName

NETPLAN = """\
network:
  version: 2
  ethernets: {eno1: {}, eno2: {}, eno3: {}}
  bridges:
    br0: {interfaces: [eno1]}
    ovs0: {interfaces: [eno2], openvswitch: {}}
"""
DOMAIN = "<domain>\n<name>web</name><memory unit='GiB'>1</memory>\n<devices>\n{}\n</devices>\n</domain>"
LINE = "etc/libvirt/qemu/web.xml:4: "
OVS = "<virtualport type='openvswitch'/>"
NETWORKS = {
    "lab": "<forward mode='nat'/><bridge name='virbr1'/><ip address='10.9.0.1' prefix='24'/>",
    "wire": "<forward mode='bridge'/><bridge name='br0'/>\n<portgroup name='quick'>"
    "<bandwidth><inbound average='77'/></bandwidth></portgroup>",
    "switch": f"<forward mode='bridge'/><bridge name='ovs0'/>{OVS}<vlan><tag id='9'/></vlan>"
    "<portgroup name='red'><vlan><tag id='30'/></vlan></portgroup><portgroup name='own'/>",
    "mixed": f"<forward mode='bridge'/><bridge name='br0'/><portgroup name='far'>{OVS}</portgroup>",
    "mido": "<forward mode='bridge'/><bridge name='br0'/><virtualport type='midonet'/>",
    "nowhere": f"<forward mode='nat'/>{OVS}",
}


def read(interface: str, netplan: str = NETPLAN) -> Imported:
    """The import of a host with one guest, which has one interface."""
    files = {
        f"etc/libvirt/qemu/networks/{n}.xml": f"<network><name>{n}</name>{x}</network>" for n, x in NETWORKS.items()
    }
    files["etc/libvirt/qemu/web.xml"] = DOMAIN.format(interface)
    netplans = {"etc/netplan/a.yaml": netplan}
    return import_sources(Sources(host="h", site="s", dialect="netplan", files=netplans, libvirt=files))


def plug(kind: str, into: str, more: str = "", attributes: str = "") -> str:
    of = "dev" if kind == "direct" else kind
    return f"<interface type='{kind}'{attributes}><source {of}='{into}'/>{more}</interface>"


ROWS = {  # interface: what the NIC is in the site file (None: left out), and what is told of its line
    plug("bridge", "br0", OVS): (None, "a port of Open vSwitch, and bridge br0 is none of its bridges"),
    plug("bridge", "br9", OVS): (None, "bridge br9 is not there"),
    plug("bridge", "ovs0", OVS): ({"bridge": "ovs0"}, ""),
    plug("bridge", "br0", "<target dev='macvlan0'/>"): ({"bridge": "br0"}, ""),  # libvirt's own choice of a name
    plug("bridge", "ovs0", "<virtualport type='openvswitch'><parameters profileid='gold'/></virtualport>"): (
        {"bridge": "ovs0"}, "profileid='gold'"),
    plug("network", "lab", OVS): (None, "a port of Open vSwitch, and network lab is none of its bridges"),
    plug("network", "switch"): ({"bridge": "ovs0", "vlan": "9"}, ""),
    plug("network", "switch' portgroup='red"): ({"bridge": "ovs0", "vlan": "30"}, ""),
    plug("network", "switch' portgroup='own"): ({"bridge": "ovs0", "vlan": "9"}, ""),
    plug("network", "switch", "<vlan trunk='yes'><tag id='7'/><tag id='8'/></vlan>"): (
        {"bridge": "ovs0", "vlans": ["7", "8"]}, ""),
    plug("network", "mixed' portgroup='far"): (None, "none of its bridges"),
    plug("network", "mixed"): ({"bridge": "br0"}, ""),
    plug("network", "mido"): (None, "its network mido is of MidoNet"),
    plug("network", "nowhere"): (None, "its network nowhere is on Open vSwitch, of mode 'nat'"),
    plug("network", "wire' portgroup='quick"): ({"bridge": "br0"}, "portgroup='quick'"),
    plug("bridge", "br0", "<virtualport type='midonet'/>"): (None, "a port of MidoNet"),
    plug("direct", "eno3"): (None, "of mode 'vepa'"),
    plug("direct", "eno3' mode='bridge", "<virtualport type='802.1Qbh'><parameters profileid='x'/></virtualport>"): (
        {"direct": "eno3"}, "802.1Qbh"),
    plug("bridge", "br0", "<port isolated='yes'/>"): ({"bridge": "br0", "isolated": "true"}, ""),
    plug("bridge", "br0", "<port isolated='no'/><link state='up'/>"): ({"bridge": "br0"}, ""),
    plug("bridge", "br0", "<link state='down'/>"): ({"bridge": "br0"}, "<link state='down'/>"),
    plug("bridge", "br0", "<mtu size='1400'/>"): ({"bridge": "br0"}, "<mtu size='1400'/>"),
    plug("bridge", "br0", "<script path='/etc/up'/>"): ({"bridge": "br0"}, "<script path='/etc/up'/>"),
    plug("bridge", "br0", "<coalesce><rx><frames max='7'/></rx></coalesce>"): ({"bridge": "br0"}, "<coalesce>"),
    plug("bridge", "br0", "<bandwidth><outbound average='8'/></bandwidth>"): ({"bridge": "br0"}, "<bandwidth>"),
    plug("bridge", "br0", "<filterref filter='clean-traffic'/>"): ({"bridge": "br0"}, "guard: strict"),
    plug("bridge", "br0", "<teaming type='transient' persistent='ua-x'/>"): ({"bridge": "br0"}, "<teaming"),
    plug("bridge", "br0", "", " trustGuestRxFilters='yes'"): ({"bridge": "br0"}, "trustGuestRxFilters='yes'"),
    plug("bridge", "br0", "<vlan><tag id='77'/></vlan>"): ({"bridge": "br0"}, "vlan 77"),
}  # fmt: skip


@pytest.mark.parametrize("interface", ROWS)
def test_what_decides_about_the_wire_is_in_the_file_or_told(interface: str) -> None:
    nic, told = ROWS[interface]
    found = read(interface)
    nics = found.document["guests"]["web"].get("nics", [])
    said = [
        {key: list(map(str, v)) if isinstance(v, list) else str(v).lower() for key, v in one.items()} for one in nics
    ]
    assert said == ([] if nic is None else [nic]), found.text
    of_it = [str(left) for left in found.left if str(left).startswith(LINE)] + list(found.notes)
    assert any(told in line for line in of_it) if told else not of_it, found.text


def test_the_bridge_of_a_network_of_a_running_libvirt_is_no_loss() -> None:
    """libvirt makes it and keeps it; of one that nobody defines any more the host's address would go."""
    office = (Path(__file__).parent / "cases/lv-as-libvirtd-writes/etc/libvirt/qemu/networks/office.xml").read_text()
    bridge = Link(name=IfName("virbr9"), options=Bridge(), addresses=(Address(ip="10.61.0.254/24"),), up=True)
    state = HostState(links={bridge.name: bridge})
    files = {"etc/libvirt/qemu/networks/office.xml": office}
    known, gone = (Sources(host="h", site="s", dialect=None, libvirt=said, state=state) for said in (files, {}))
    words = "virbr9: left out, another program makes and removes it: a bridge; the host's address 10.61.0.254/24"
    found = import_sources(known)
    assert words in found.others
    assert not [note for note in found.notes if "virbr9" in note]
    assert words in import_sources(gone).notes


def test_lengths_and_units_are_libvirts_own() -> None:
    """Without a prefix libvirt takes the class of the address (formatnetwork.html), and MB is decimal."""
    files = {
        "etc/libvirt/qemu/networks/lab.xml": "<network><name>lab</name><forward/><ip address='172.20.0.1'/></network>",
        "etc/libvirt/qemu/web.xml": "<domain><name>web</name><memory unit='MB'>1024</memory></domain>",
    }
    found = import_sources(Sources(host="h", site="s", dialect=None, libvirt=files)).document
    assert found["hosts"]["h"]["virtual_networks"]["lab"]["subnet"] == "172.20.0.0/16"
    assert found["guests"]["web"]["memory"] == "1000000KiB"
