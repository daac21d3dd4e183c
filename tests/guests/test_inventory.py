"""Who is who, and MACs that two have."""

from __future__ import annotations

import json
import os
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from bascule.cli.show.guests import as_text
from bascule.errors import BasculeError, NotPermitted
from bascule.guests.gather import gather
from bascule.guests.inventory import agent_sightings, join, lease_sightings
from bascule.model.domain import Domain, DomainNic, Lease
from bascule.model.links import Bridge, Tap
from bascule.model.sightings import FdbEntry, Sighting
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.observe.neighbours import sightings
from bascule.providers.libvirt import observe as libvirt
from bascule.site import parse
from bascule.system.libvirt import Hypervisor, binding, connect
from bascule.system.libvirt.interface import libvirt_error
from tests.lab import Lab, pings

M1, M2 = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")


def domain(name: str, *macs: Mac, running: bool = True, tap: str = "", bridge: str = "br3") -> Domain:
    nics = tuple(
        DomainNic(index=i, kind="bridge", into=bridge, mac=mac, tap=tap or f"{name}.{i}", bridge=bridge)
        for i, mac in enumerate(macs)
    )
    return Domain(name=name, running=running, nics=nics, next_nics=nics)


def state(**masters: str) -> HostState:
    names = {*masters.values()}
    links = [Link(name=IfName(name), options=Bridge(), up=True) for name in names]
    links += [
        Link(name=IfName(tap.replace("_", ".")), options=Tap(), up=True, master=IfName(master))
        for tap, master in masters.items()
    ]
    return HostState.of(links)


def test_an_address_comes_from_the_best_source_and_says_so() -> None:
    seen = (
        Sighting(mac=M1, address=ip_address("10.0.0.5"), source="neighbour", age_s=3),
        Sighting(mac=M1, address=ip_address("10.0.0.5"), source="agent", age_s=0),
        Sighting(mac=M1, address=ip_address("10.0.0.6"), source="neighbour", age_s=900),
        Sighting(mac=M1, address=ip_address("fe80::1"), source="neighbour", age_s=1),
    )
    (row,) = join([domain("g1", M1)], state=state(g1_0="br3"), sightings=seen).rows
    assert [(str(s.address), s.source) for s in row.addresses] == [("10.0.0.5", "agent"), ("10.0.0.6", "neighbour")]
    assert row.bridge == "br3"
    assert row.remarks == ()


@pytest.mark.parametrize("columns", ["80", "100"])
def test_sixty_guests_have_a_line_each(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of few letters needs no 24 columns."""
    monkeypatch.setenv("COLUMNS", columns)
    macs = [Mac(f"52:54:00:00:00:{n:02x}") for n in range(60)]
    seen = [Sighting(mac=mac, address=ip_address(f"10.0.0.{n + 100}"), source="declared") for n, mac in enumerate(macs)]
    guests = [domain(f"web-{n:02}", mac) for n, mac in enumerate(macs)]
    text = as_text(join(guests, state=state(g1_0="br3"), sightings=seen))
    lines = [line for line in text.splitlines() if not line.startswith("remark")]
    assert [line.split()[0] for line in lines[1:61]] == [f"web-{n:02}" for n in range(60)], lines
    assert len(lines) <= 62


TWO_HOSTS = parse(
    b"""\
site: t
networks: {lan: {subnet: 10.1.0.0/24}, dmz: {subnet: 10.3.0.0/24}}
hosts:
  one: {nics: {e0: {network: lan}}, bridges: {br0: {uplink: e0}}}
  two: {nics: {e0: {network: dmz}}, bridges: {br0: {uplink: e0}}}
guests:
  g1: {host: one, nics: [{bridge: br0}]}
  g2: {host: two, nics: [{bridge: br0}]}
""",
    "t.yaml",
)


def test_the_network_of_a_guest_is_that_behind_its_own_hosts_bridge() -> None:
    guests = [
        domain(name, mac, bridge="br0") for name, mac in (("g1", M1), ("g2", M2), ("g3", Mac("52:54:00:00:00:03")))
    ]
    rows = join(guests, site=TWO_HOSTS).rows
    assert [(row.domain.name, row.network) for row in rows] == [("g1", "lan"), ("g2", "dmz"), ("g3", "")]


def test_where_libvirt_does_not_let_a_user_look_the_list_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its list was empty, as where no guest is defined."""

    def refuse(uri: str | None) -> Hypervisor:
        raise libvirt_error(f"connecting to {uri}", "authentication unavailable: no polkit agent available")

    monkeypatch.setattr("bascule.guests.gather.connect", refuse)
    monkeypatch.setattr("bascule.guests.gather.may_be_here", lambda: True)
    found = gather(tmp_path, state=HostState())
    assert found.unread[0] == "libvirt does not let this user look: which guests it has is not known"
    assert as_text(found).startswith("no guest is seen")
    with pytest.raises(NotPermitted):
        gather(tmp_path, uri="qemu:///system", state=HostState())


def test_a_tap_that_is_elsewhere_than_libvirt_says_is_remarked() -> None:
    (row,) = join([domain("g1", M1)], state=state(g1_0="br4")).rows
    assert row.bridge == "br4"
    assert row.remarks == ("libvirt says br3, but its tap is on br4",)


def test_a_clone_is_named_and_not_also_called_a_duplicate() -> None:
    found = join([domain("g1", M1, M2), domain("g2", M1, M2, running=False)]).problems
    assert [p.code for p in found] == ["CLONE"]
    assert "'g1' and 'g2' have the same MACs" in found[0].message


def test_a_mac_that_two_have_over_shut_off_domains_and_bridges() -> None:
    links = HostState.of([Link(name=IfName("br3"), options=Bridge(), mac=M2)])
    found = join([domain("g1", M1, M2), domain("g2", M1, running=False)], state=links).problems
    assert {p.code for p in found} == {"MAC-TWICE"}
    words = " | ".join(p.message for p in found)
    assert "domain 'g1' and domain 'g2' (shut off)" in words
    assert "bridge br3 of this host" in words


def test_a_mac_that_the_wire_shows_elsewhere() -> None:
    here = FdbEntry(mac=M1, port=IfName("g1.0"), bridge=IfName("br3"))
    uplink = FdbEntry(mac=M1, port=IfName("eth4"), bridge=IfName("br3"))
    assert join([domain("g1", M1)], fdb=[here]).problems == ()
    (problem,) = join([domain("g1", M1)], fdb=[uplink]).problems
    assert "was learned on eth4 of br3" in problem.message
    (problem,) = join([domain("g1", M1, running=False)], fdb=[uplink]).problems
    assert "(shut off) is alive on eth4" in problem.message


def test_an_fe_mac_is_refused_with_the_reason() -> None:
    (problem,) = join([domain("g1", Mac("fe:54:00:00:00:01"))]).problems
    assert problem.code == "MAC-FE"


def test_leases_and_agents_as_sightings() -> None:
    leases = (
        Lease(mac=M1, address=ip_address("10.0.0.5"), expires=3000),
        Lease(mac=M2, address=ip_address("10.0.0.6"), expires=10),
    )
    (one,) = lease_sightings(leases, now=1000.0)
    assert (one.source, one.age_s) == ("lease", 1600.0)
    seen = agent_sightings({M1: ("10.0.0.5/24", "fe80::1/64"), "00:00:00:00:00:00": ("127.0.0.1/8",)})
    assert [str(s.address) for s in seen] == ["10.0.0.5"]


@pytest.mark.kernel
def test_neighbours_and_fdb_of_a_live_bridge(lab: Lab) -> None:
    host, guest = lab.namespace("host"), lab.namespace("guest")
    lab.ip(host, "link add br3 type bridge")
    lab.ip(host, "link add tap0 type veth peer name inner")
    lab.ip(host, f"link set inner netns /proc/{os.getpid()}/fd/{guest.fd}")
    lab.ip(host, "link set tap0 master br3 up")
    lab.ip(host, "link set br3 up")
    lab.ip(host, "addr add 10.0.0.1/24 dev br3")
    lab.ip(guest, f"link set inner address {M1}")
    lab.ip(guest, "addr add 10.0.0.5/24 dev inner")
    lab.ip(guest, "link set inner up")
    assert pings(host, "10.0.0.5")
    seen = [s for s in sightings(namespace=host) if s.mac == M1]
    assert [(str(s.address), s.source) for s in seen if not s.address.is_link_local] == [("10.0.0.5", "neighbour")]
    assert seen[0].age_s is not None
    assert seen[0].age_s < 60
    assert [(e.port, e.bridge) for e in read_fdb(host) if e.mac == M1] == [("tap0", "br3")]


NODE = """<node><domain type='test'><name>test</name>
<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>1024</memory><os><type>hvm</type></os></domain>
<network><name>default</name><bridge name='virbr0'/><forward mode='nat'/>
<ip address='192.168.122.1' netmask='255.255.255.0'/></network>{}</node>"""


def made_up_host(count: int) -> str:
    return NODE.format(
        "".join(
            f"<domain type='test'><name>g{n}</name>"
            f"<uuid>6695eb01-f6a4-8304-79aa-{n:012x}</uuid><memory>1048576</memory><vcpu>2</vcpu>"
            "<os><type>hvm</type></os><devices>"
            f"<interface type='network'><mac address='52:54:00:00:{n // 256:02x}:{n % 256:02x}'/>"
            "<source network='default'/>"
            f"<target dev='vnet{n}'/></interface></devices></domain>"
            for n in range(count)
        )
    )


@pytest.mark.parametrize("through", ["binding", "virsh"])
def test_both_ways_to_libvirt_say_the_same(through, tmp_path) -> None:  # type: ignore[no-untyped-def]
    if not binding.is_here():
        pytest.skip("libvirt's Python binding cannot be loaded (make vm-tools)")
    (tmp_path / "node.xml").write_text(made_up_host(3))
    uri = f"test://{tmp_path}/node.xml"
    hypervisor, other = connect(uri, through=through), connect(uri, through="binding")
    found, again = libvirt.observe(hypervisor), libvirt.observe(other)
    assert (found.seen_domains, found.seen_networks) == (again.seen_domains, again.seen_networks)
    assert libvirt.leases(hypervisor, found.seen_networks) == libvirt.leases(other, found.seen_networks)
    assert [d.name for d in found.seen_domains] == ["g0", "g1", "g2", "test"]
    assert found.seen_domains[1].nics[0].bridge == "virbr0"
    assert found.seen_domains[1].memory == 1 << 30


def test_two_hundred_domains_are_read_and_joined(tmp_path) -> None:  # type: ignore[no-untyped-def]
    if not binding.is_here():
        pytest.skip("libvirt's Python binding cannot be loaded (make vm-tools)")
    (tmp_path / "node.xml").write_text(made_up_host(200))
    start = time.monotonic()
    found = libvirt.observe(connect(f"test://{tmp_path}/node.xml"))
    rows = join(found.seen_domains).rows
    took = time.monotonic() - start
    assert len([row for row in rows if row.nic]) == 200
    print(json.dumps({"domains": 201, "seconds": round(took, 3)}))


def test_no_libvirt_is_said_with_what_to_do() -> None:
    for through in ("binding", "virsh"):
        with pytest.raises(BasculeError) as caught:
            connect("qemu+unix:///system?socket=/nowhere/libvirt-sock", through=through)
        (problem,) = caught.value.problems
        assert problem.code in {"LIBVIRT-NOT-RUNNING", "LIBVIRT-NO-CLIENT"}
        assert problem.hint


@pytest.mark.parametrize(
    "said",
    [
        "Cannot recv data: ssh: Could not resolve hostname nowhere: Name not known: Connection reset by peer",
        "Cannot recv data: root@kvm: Permission denied (publickey,password).: Connection reset by peer",
        "Cannot recv data: Host key verification failed.: Connection reset by peer",
        "Cannot recv data: ssh: connect to host kvm port 22: Connection refused: Connection reset by peer",
    ],
)
def test_a_way_over_ssh_that_is_not_open_is_not_blamed_on_libvirtd(said: str) -> None:
    (problem,) = libvirt_error("connecting to qemu+ssh://nowhere/system", said).problems
    assert problem.code == "LIBVIRT-NO-SSH"
    assert "ssh HOST true" in (problem.hint or "")
    (problem,) = libvirt_error("listing domains", "Cannot recv data: Connection reset by peer").problems
    assert problem.code == "LIBVIRT-GONE"
