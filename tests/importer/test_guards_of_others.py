"""Guards that others have at the ports of guests are told at an import, with the guard that says them."""

from __future__ import annotations

import shutil

import pytest

from bascule.importer.importing import Sources, import_sources
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab

OWN_TABLE = """\
table bridge kvm {
    set known { type ether_addr . ipv4_addr; elements = { 52:54:00:00:00:09 . 10.0.0.9 } }
    chain of_vnet1 {
        ether saddr != 52:54:00:00:00:01 drop
        arp saddr ip != 10.0.0.5 drop
        ip saddr != { 10.0.0.5, 10.0.0.6 } drop
        ip6 saddr != fe80::/64 drop
    }
    chain forwarded {
        type filter hook forward priority -200; policy accept;
        iifname "vnet1" jump of_vnet1
        iifname { "vnet2", "vnet3" } oifname "vnet4" drop
        iifname "vnet5" ether saddr != 52:54:00:00:00:05 drop
        iifname "vnet9" ether saddr . ip saddr @known accept
    }
}
"""
IN_PLACE = "at the guest's NIC says so and more, in its place"
TOLD = {
    (
        "vnet1: table bridge kvm restricts the guest to its MAC (52:54:00:00:00:01), its IPv4 address in ARP "
        "(10.0.0.5), its IPv4 address (10.0.0.5, 10.0.0.6), its IPv6 address (fe80::/64); it stays; "
        f"'guard: strict' {IN_PLACE}"
    ),
    "vnet2: table bridge kvm has 1 rule for it; keeps it from another port; it stays",
    "vnet3: table bridge kvm has 1 rule for it; keeps it from another port; it stays",
    f"vnet5: table bridge kvm restricts the guest to its MAC (52:54:00:00:00:05); it stays; 'guard: mac' {IN_PLACE}",
    (
        "vnet9: table bridge kvm restricts the guest to its MAC (the set known), its IPv4 address (the set known); it "
        f"stays; 'guard: strict' {IN_PLACE}"
    ),
}


def notes(host: Namespace) -> set[str]:
    state = observe(namespace=host)
    return set(import_sources(Sources(host="h", site="h", dialect=None, state=state)).notes)


@pytest.mark.kernel
def test_rules_of_nft_at_ports(lab: Lab) -> None:
    host = lab.namespace("host")
    run(("nft", "-f", "-"), namespace=host, stdin=OWN_TABLE)
    assert notes(host) >= TOLD


@pytest.mark.kernel
@pytest.mark.skipif(not shutil.which("ebtables-nft"), reason="no ebtables-nft here")
def test_chains_that_libvirt_gives_a_port(lab: Lab) -> None:
    host = lab.namespace("host")
    ours = "ebtables-nft -t nat"
    for words in (
        "-N libvirt-I-vnet7", "-A PREROUTING -i vnet7 -j libvirt-I-vnet7",
        "-A libvirt-I-vnet7 -s ! 52:54:00:00:00:07 -j DROP", "-A libvirt-I-vnet7 -p IPv4 --ip-src ! 10.0.0.7 -j DROP",
    ):  # fmt: skip
        run((*ours.split(), *words.split()), namespace=host)
    what = "its MAC (52:54:00:00:00:07), its IPv4 by a match that nft does not show"
    assert (
        f"vnet7: table bridge nat (libvirt) restricts the guest to {what}; it stays; 'guard: strict' {IN_PLACE}"
        in notes(host)
    )


@pytest.mark.kernel
def test_flags_of_ports(lab: Lab) -> None:
    host = lab.namespace("host")
    script = "ip link add name br0 type bridge; ip link set br0 up\n"
    for name in ("vnet1", "vnet2", "vnet3"):
        script += f"ip tuntap add dev {name} mode tap; ip link set {name} master br0\n"
    script += (
        "for t in vnet1 vnet2; do bridge link set dev $t isolated on; done; bridge link set dev vnet3 learning off\n"
    )
    run(("sh", "-ec", script), namespace=host)
    found = notes(host)
    assert "vnet1, vnet2: isolated at the bridge; 'isolated: true' at the guest's NIC keeps that" in found
    assert "vnet3: learns no MACs at the bridge" in found


FILTER = """<filter name='mine'><filterref filter='no-mac-spoofing'/><filterref filter='theirs'/>
<rule action='drop' direction='in'><tcp dstportstart='25'/></rule></filter>"""
DOMAIN = """<domain><name>web</name><devices><interface type='network'><source network='wire'/>
<filterref filter='mine'>{}</filterref></interface></devices></domain>"""
NETPLAN = "network: {version: 2, ethernets: {eno1: {}}, bridges: {br0: {interfaces: [eno1]}}}"
WIRE = "<network><name>wire</name><forward mode='bridge'/><bridge name='br0'/><port isolated='yes'/></network>"


def test_filters_of_ones_own_are_followed() -> None:
    values = "".join(f"<parameter name='IP' value='{ip}'/>" for ip in ("10.0.0.5", "10.0.0.6"))
    files = {
        "etc/libvirt/nwfilter/mine.xml": FILTER,
        "etc/libvirt/nwfilter/theirs.xml": "<filter name='theirs'><filterref filter='no-ip-spoofing'/></filter>",
        "etc/libvirt/nwfilter/unused.xml": "<filter name='unused'><rule action='drop' direction='in'/></filter>",
        "etc/libvirt/qemu/networks/wire.xml": WIRE,
        "etc/libvirt/qemu/web.xml": DOMAIN.format(values),
    }
    sources = Sources(host="h", site="h", dialect="netplan", files={"etc/netplan/a.yaml": NETPLAN}, libvirt=files)
    found = import_sources(sources)
    told = {(each.file.rpartition("/")[2], each.line): each.why for each in found.left}
    keys = "'guard: strict', 'address: 10.0.0.5' with its prefix and 'also: [10.0.0.6]' at this NIC say so and more"
    held = "restricts the guest to its MAC, its IPv4 address (10.0.0.5, 10.0.0.6)"
    assert told == {
        ("mine.xml", 2): "a rule of the filter mine, which libvirt keeps",
        ("web.xml", 2): f"libvirt keeps it, and {held}; {keys}, in its place",
    }
    assert found.document["guests"]["web"]["nics"] == [{"bridge": "br0", "isolated": True}]


SAVED = """\
# Generated by ebtables-nft-save v1.8.9 (nf_tables)
*filter
:FORWARD ACCEPT
-A FORWARD -i vnet3 -j guest3
-A guest3 -p ARP --arp-ip-src ! 10.0.0.7 -j DROP
-A guest3 --limit 120/sec --limit-burst 33 -j ACCEPT
*nat
-A PREROUTING -p ARP -i vnet3 --arp-op Request -j arpreply --arpreply-mac 52:54:00:de:ad:01
"""


@pytest.mark.kernel
def test_what_nft_does_not_show_of_ebtables_is_told_by_its_own_words(lab: Lab) -> None:
    state = observe(namespace=lab.namespace("host"))
    found = import_sources(Sources(host="h", site="s", dialect=None, state=state, ebtables=SAVED))
    told = [note for note in found.notes if note.startswith("ebtables")]
    assert told == [
        (
            "ebtables, table filter: -A guest3 -p ARP --arp-ip-src ! 10.0.0.7 -j DROP; "
            "-A guest3 --limit 120/sec --limit-burst 33 -j ACCEPT; they stay"
        ),
        (
            "ebtables, table nat: -A PREROUTING -p ARP -i vnet3 --arp-op Request -j arpreply "
            "--arpreply-mac 52:54:00:de:ad:01; they stay"
        ),
    ]


@pytest.mark.kernel
@pytest.mark.skipif(shutil.which("ebtables-nft-save") is None, reason="needs ebtables (apt-get install ebtables)")
def test_ebtables_is_asked_where_it_has_rules_of_its_own(lab: Lab) -> None:
    host = lab.namespace("host")
    run(("ebtables", "-A", "FORWARD", "-p", "ARP", "--arp-ip-src", "!", "10.0.0.7", "-j", "DROP"), namespace=host)
    done = lab.bascule(host, "import", "--host", "h")
    assert "-A FORWARD -p ARP --arp-ip-src ! 10.0.0.7 -j DROP" in done.stdout, done.stdout + done.stderr
