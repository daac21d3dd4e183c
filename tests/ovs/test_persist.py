"""What files say beside Open vSwitch's own database, who reads them, and who says that he cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.importer.importing import Sources, import_sources
from bascule.model.dialects import writable
from bascule.model.links import OpenVSwitch
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.rendering import render_files
from bascule.persist.wanted import wanted_config
from bascule.persist.writer import FileHeader, prepare
from bascule.site import parse
from tests.ovs.stage import require
from tests.persist.readers import ask

SITE = """
site: s
networks: {lan: {subnet: 10.0.0.0/24}, ten: {vlan: 10}, twenty: {vlan: 20}, san: {subnet: 10.9.0.0/24, vlan: 30}}
hosts:
  h:
    nics: {eth1: {network: lan}, eth2: {}, eth3: {}, eth4: {}, eth5: {}}
    bonds:
      bond0: {nics: [eth2, eth3], mode: balance-tcp, lacp_rate: fast, updelay: 50}
      bond1: {nics: [eth4, eth5], mode: active-backup, kind: openvswitch, primary: eth5}
    bridges:
      ovs0: {kind: openvswitch, datapath: netdev, uplink: eth1, address: 10.0.0.5/24, rstp: true, fail_mode: secure}
      ovs1: {kind: openvswitch, datapath: netdev, uplink: bond0, pvid: 10, native: tagged, vlans: [20, 30-32],
             snooping: true, mac: '52:54:00:aa:00:01'}
      ovs2: {kind: openvswitch, datapath: netdev, uplink: bond1, stp: true, mtu: 9000, mirror: [{from: g, to: ids}]}
guests:
  g: {host: h, nics: [{bridge: ovs2, guard: off}]}
  ids: {host: h, nics: [{bridge: ovs2, guard: off}]}
"""
SAYS_ALL = ("ifupdown", "keyfile", "ifcfg")


def config() -> NetworkConfig:
    site = parse(SITE.encode(), "site.yaml")
    return wanted_config(site, site.hosts["h"])


def files(name: str) -> dict[str, str]:
    return dialect(name, writable).render(config())


@pytest.mark.parametrize("name", ["netplan", *SAYS_ALL])
def test_a_guarded_switch_is_secure_in_files_that_were_rendered_elsewhere(name: str) -> None:
    """The host's own database is not there to say it."""
    text = SITE.replace("{host: h, nics: [{bridge: ovs2, guard: off}]}", "{host: h, nics: [{bridge: ovs2}]}", 1)
    text = text.replace("{bridge: ovs2}", "{bridge: ovs2, address: 10.0.0.9/24, guard: strict}", 1)
    site = parse(text.encode(), "site.yaml")
    files = dialect(name, writable).render(wanted_config(site, site.hosts["h"]))
    modes = {link.name: link.options.fail_mode for link in dialect(name).parse(files).config.links.values()
             if isinstance(link.options, OpenVSwitch)}  # fmt: skip
    assert modes == {"ovs0": "secure", "ovs1": "", "ovs2": "secure"}


@pytest.mark.parametrize("name", SAYS_ALL)
def test_what_is_written_is_read_again(name: str) -> None:
    parsed = dialect(name).parse(files(name))
    assert parsed.left == ()
    assert parsed.config == config()


def test_netplan_leaves_to_the_data_base_what_it_has_no_words_for() -> None:
    site = parse(SITE.encode(), "site.yaml")
    read = dialect("netplan").parse(files("netplan")).config
    said, bond = config().links, read.links["bond0"]  # type: ignore[index]  # names of the file
    assert (bond.master, bond.options) == ("ovs1", said["bond0"].options)  # type: ignore[index]
    assert read.links["ovs0"].addresses == ("10.0.0.5/24",)  # type: ignore[index]
    assert read.links["ovs1"].mac == "52:54:00:aa:00:01"  # type: ignore[index]
    kept = "netplan does not support that; Open vSwitch's own database keeps it"
    assert render_files(site, site.hosts["h"], "netplan", None).unsaid == (
        f"ovs0: datapath: {kept}",
        f"ovs1: VLANs and datapath: {kept}",
        f"ovs2: STP, datapath and mirrors: {kept}",
    )


def test_netplans_units_wait_for_ovs_vswitchd() -> None:
    """They wait for the database alone and end after 10 s, which ovs-vsctl spends waiting for ovs-vswitchd."""
    unit = "etc/systemd/system/netplan-ovs-.service.d/50-bascule.conf"
    assert {"After=ovs-vswitchd.service", "TimeoutStartSec=5min"} <= set(files("netplan")[unit].splitlines())
    assert dialect("netplan").parse(files("netplan")).left == ()
    plain = parse(b"site: s\nhosts: {h: {nics: {eth1: {}}, bridges: {br0: {uplink: eth1}}}}", "site.yaml")
    assert unit not in dialect("netplan", writable).render(wanted_config(plain, plain.hosts["h"]))


@pytest.mark.parametrize("name", ["networkd", "netplan", *SAYS_ALL])
def test_files_of_others_are_no_obstacle_where_there_are_none(name: str, tmp_path: Path) -> None:
    """What the database keeps is not missed in the files."""
    hardware = {IfName(f"eth{number}"): None for number in range(1, 6)}
    stamp = FileHeader("s", "h", "0")
    writing = prepare(dialect(name), config(), {}, stamp=stamp, root=tmp_path, hardware=hardware)
    assert {change.action for change in writing.changes} == {"write"}


def test_networkd_says_addresses_and_leaves_ports_where_they_are() -> None:
    found = files("networkd")
    assert not [path for path in found if path.endswith(".netdev")]
    assert "Address=10.0.0.5/24" in found["etc/systemd/network/10-ovs0.network"]
    assert "KeepMaster=yes" in found["etc/systemd/network/10-eth1.network"]
    assert "RequiredForOnline=no" in found["etc/systemd/network/10-ovs1.network"]
    assert not any("Bridge" in text for text in found.values())


def test_who_has_no_words_for_it_says_so() -> None:
    with pytest.raises(Inexpressible, match="'kind: openvswitch' of ovs0"):
        files("commands")


def test_a_vlan_over_a_switch_would_be_something_else_to_netplan() -> None:
    tagged = SITE.replace(
        "    bonds:", "    vlans: {ovs0.30: {link: ovs0, id: 30, network: san, address: 10.9.0.5/24}}\n    bonds:"
    )
    site = parse(tagged.encode(), "site.yaml")
    with pytest.raises(Inexpressible, match="netplan makes a fake bridge of it"):
        dialect("netplan", writable).render(wanted_config(site, site.hosts["h"]))


def test_networkmanager_needs_its_plugin_and_knows_no_mirror(tmp_path: Path) -> None:
    site = parse(SITE.encode(), "site.yaml")
    host = site.hosts["h"]
    with pytest.raises(Inexpressible, match="has no plugin for it here"):
        dialect("keyfile").check_switches(host, config(), str(tmp_path))
    folder = tmp_path / "usr/lib64/NetworkManager/1.46"
    folder.mkdir(parents=True)
    (folder / "libnm-device-plugin-ovs.so").touch()
    with pytest.raises(Inexpressible) as told:
        dialect("keyfile").check_switches(host, config(), str(tmp_path))
    (problem,) = told.value.problems
    with pytest.raises(Inexpressible) as elsewhere:  # files for a host that is not this one
        render_files(site, host, "keyfile", None)
    assert elsewhere.value.problems == told.value.problems
    assert problem.message.startswith("keyfile does not support 'kind: openvswitch' of ovs2")
    assert problem.message.endswith(
        "NetworkManager makes its bridges anew at each start, without the mirrors and patch ports of others"
    )


INTERFACES = """\
allow-ovs vmbr0
iface vmbr0 inet static
    address 10.0.0.2/24
    ovs_type OVSBridge
    ovs_ports eno1 mgmt
    ovs_extra set Bridge vmbr0 protocols=OpenFlow13

allow-vmbr0 eno1
iface eno1 inet manual
    ovs_type OVSPort
    ovs_bridge vmbr0
    ovs_options tag=1 vlan_mode=native-untagged

iface mgmt inet static
    address 10.1.0.2/24
    ovs_type OVSIntPort
    ovs_bridge vmbr0
    ovs_options tag=5
"""
NETPLAN = """\
network:
  ethernets: {eno1: {}}
  bridges:
    vmbr0:
      interfaces: [eno1]
      addresses: [10.0.0.2/24]
      openvswitch: {protocols: [OpenFlow13]}
  vlans:
    mgmt: {id: 5, link: vmbr0, addresses: [10.1.0.2/24]}
"""
IFCFG = {
    "vmbr0": "TYPE=OVSBridge IPADDR=10.0.0.2 PREFIX=24 OVS_EXTRA='set-controller vmbr0 tcp:127.0.0.1'",
    "eno1": "TYPE=OVSPort OVS_BRIDGE=vmbr0 OVS_OPTIONS='tag=1 vlan_mode=native-untagged'",
    "mgmt": "TYPE=OVSIntPort OVS_BRIDGE=vmbr0",
}
PROFILES = {  # id: [connection] without it, and what else
    "b": "uuid=u1 type=ovs-bridge interface-name=vmbr0",
    "p": "uuid=u2 type=ovs-port interface-name=p0 master=u1 slave-type=ovs-bridge "
    "[ovs-port] tag=1 vlan-mode=native-untagged",
    "n": "type=ethernet interface-name=eno1 master=p slave-type=ovs-port",
    "q": "uuid=u3 type=ovs-port interface-name=vmbr0 master=b slave-type=ovs-bridge",
    "i": "type=ovs-interface interface-name=vmbr0 master=u3 slave-type=ovs-port [ovs-interface] type=internal "
    "[ipv4] method=manual address1=10.0.0.2/24 [ipv6] method=disabled",
    "m": "type=ovs-interface interface-name=mgmt master=u2 slave-type=ovs-port",
}
FOREIGN = {  # what others write: dialect, files, and what is left of them
    "ifupdown": (
        {"etc/network/interfaces": INTERFACES},
        ("'protocols=OpenFlow13' of Open vSwitch is not supported", "mgmt is Open vSwitch's, which is not supported"),
    ),
    "ifcfg": (
        {
            f"etc/sysconfig/network-scripts/ifcfg-{name}": f"DEVICE={name} DEVICETYPE=ovs {text}\n"
            for name, text in IFCFG.items()
        },
        (
            "only 'set' of a bridge, a port or an interface is taken",
            "mgmt is of type ovsintport, which is not supported",
        ),
    ),
    "keyfile": (
        {
            f"etc/NetworkManager/system-connections/{name}.nmconnection": f"[connection] id={name} {text}".replace(
                " ", "\n"
            )
            for name, text in PROFILES.items()
        },
        ("a port of a ovs-port, which is not supported",),
    ),
    "netplan": (
        {"etc/netplan/x.yaml": NETPLAN},
        ("not taken", "left out, it is a fake bridge of Open vSwitch, which is not supported"),
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_wrote_is_taken_and_the_rest_is_named(name: str) -> None:
    given, why = FOREIGN[name]
    parsed = dialect(name).parse(given)
    bridge, port = parsed.config.links["vmbr0"], parsed.config.links["eno1"]  # type: ignore[index]  # names of the file
    assert bridge.options.kind == "openvswitch-bridge"
    assert bridge.addresses == ("10.0.0.2/24",)
    assert port.master == "vmbr0"
    if name != "netplan":
        assert [vlan.first for vlan in port.vlans if vlan.pvid and vlan.untagged] == [1]
    assert "mgmt" not in parsed.config.links
    told = [left.why for left in parsed.left]
    assert all(any(words in one for one in told) for words in why), told


@pytest.mark.parametrize("name", [*SAYS_ALL, "netplan"])
def test_who_gets_copies_is_told_where_files_alone_are_imported(name: str) -> None:
    """No dialect says a mirror, and its target would be an ordinary port."""
    text = SITE.replace("nics: {eth1: {network: lan}, ", "nics: {eth1: {network: lan}, eth9: {}, ")
    text = text.replace("fail_mode: secure}", "fail_mode: secure, mirror: [{to: eth9}]}")
    site = parse(text.encode(), "site.yaml")
    written = dialect(name, writable).render(wanted_config(site, site.hosts["h"]))
    found = import_sources(Sources(host="h", site="s", dialect=name, files=written))
    (told,) = (one for one in found.notes if "copies of a mirror" in one)
    assert told.startswith("ovs0: no file says whether one of its ports (eth1, eth9) gets the copies of a mirror, and")


OVS = """\
mkdir -p /run/openvswitch /tmp/ovs
ovsdb-tool create /tmp/ovs/conf.db /usr/share/openvswitch/vswitch.ovsschema
export OVS_RUNDIR=/run/openvswitch OVS_LOGDIR=/tmp/ovs OVS_DBDIR=/tmp/ovs
ovsdb-server --detach --no-chdir --pidfile -vconsole:off --remote=punix:/run/openvswitch/db.sock /tmp/ovs/conf.db
ovs-vsctl --no-wait init
ovs-vswitchd --detach --no-chdir --pidfile -vconsole:off
rows() {
    ovs-vsctl --bare --columns=name,fail_mode,rstp_enable,stp_enable,mcast_snooping_enable list Bridge | paste -sd' '
    for each in bond0 bond1; do
        ovs-vsctl get Port $each bond_mode lacp tag trunks vlan_mode other_config | paste -sd' '
    done
    for each in eth1 bond0 bond1; do ovs-vsctl port-to-br $each; done | paste -sd' '
    ovs-vsctl get Interface ovs2 mtu_request
}
"""
UNITS = """\
/usr/libexec/netplan/generate
for unit in ovs0 ovs1 ovs2 bond0 bond1; do
    sed -n 's/^ExecStart=//p' /run/systemd/system/netplan-ovs-$unit.service | sh -e
done
"""
END = "rows; kill $(cat /run/openvswitch/ovs-vswitchd.pid)"
NICS = ("eth1", "eth2", "eth3", "eth4", "eth5")


@pytest.mark.kernel
def test_ifupdown_makes_the_switches_of_our_file_and_keeps_them(tmp_path: Path) -> None:
    """From an empty database, as on a new host; `ifdown -a` leaves them and their addresses."""
    require()
    seen = ask(
        tmp_path, ("ifupdown",), files("ifupdown"), f"{OVS}ifup -a\nrows\nifdown -a\n{END}", nics=NICS, timeout_s=120
    )
    assert seen.status == 0, seen.stderr
    once, again = seen.stdout[: len(seen.stdout) // 2], seen.stdout[len(seen.stdout) // 2 :]
    assert once == again, "nothing goes with ifdown -a"
    assert "ovs0 secure true false false" in once
    assert "balance-tcp active 10 [10, 20, 30, 31, 32] native-tagged {lacp-time=fast}" in once
    assert "active-backup [] [] [] [] {bond-primary=eth5}" in once
    assert "ovs0 ovs1 ovs2\n9000\n" in once
    assert seen.addresses("ovs0") == {"10.0.0.5/24"}
    assert seen.links["ovs1"]["address"] == "52:54:00:aa:00:01"
    assert not seen.has_link_local("ovs1")


@pytest.mark.kernel
def test_ifupdown2_reloads_our_file_and_leaves_guests_on_their_switch(tmp_path: Path) -> None:
    """It takes ports off that its file does not name, and clears what it does not say."""
    require()
    guest = "ip link add vnet0 type veth peer name guest0\novs-vsctl add-port ovs0 vnet0\n"
    # it looks for bonds of Open vSwitch among the kernel's links, and ends with 1 though all is done
    script = f"{OVS}chmod +x /usr/share/ifupdown2/__main__.py; export LC_ALL=C.UTF-8\nifup -a || true\n"
    script += f"{guest}ifreload -a || true\n"
    seen = ask(
        tmp_path,
        ("ifupdown2",),
        files("ifupdown"),
        f"{script}ovs-vsctl port-to-br vnet0\n{END}",
        nics=NICS,
        timeout_s=120,
    )
    assert seen.status == 0, seen.stderr
    assert seen.stdout.startswith("ovs0\n"), "the guest's port stays"
    assert "ovs0 secure true false false" in seen.stdout
    assert "balance-tcp active 10 [10, 20, 30, 31, 32] native-tagged {lacp-time=fast}" in seen.stdout
    assert "ovs0 ovs1 ovs2\n9000\n" in seen.stdout
    assert seen.addresses("ovs0") == {"10.0.0.5/24"}
    assert seen.links["ovs1"]["address"] == "52:54:00:aa:00:01"


@pytest.mark.kernel
def test_netplan_generates_units_that_make_the_switches_of_our_file(tmp_path: Path) -> None:
    """The lines of its units are run: there is no systemd. The datapath it does not support stands there already."""
    require()
    there = "".join(f"ovs-vsctl add-br ovs{n} -- set Bridge ovs{n} datapath_type=netdev\n" for n in range(3))
    there += "ovs-vsctl add-bond ovs1 bond0 eth2 eth3 tag=10 trunks=10,20 vlan_mode=native-tagged\n"
    there += "ovs-vsctl set Interface ovs2 mtu_request=9000\n"
    seen = ask(tmp_path, (), files("netplan"), OVS + there + UNITS + END, nics=NICS, timeout_s=120)
    assert seen.status == 0, seen.stderr
    assert "ovs0 secure true false false" in seen.stdout
    assert "ovs1 standalone false false true" in seen.stdout
    assert "balance-tcp active 10 [10, 20] native-tagged {lacp-time=fast}" in seen.stdout, "VLANs in the database stay"
    assert "active-backup" in seen.stdout
    assert "ovs0 ovs1 ovs2\n9000\n" in seen.stdout
