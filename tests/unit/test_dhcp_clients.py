"""DHCP clients told from their command lines, and the command lines by which they go on elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.dhcp.clients import dhcp_clients
from bascule.dhcp.lease import give_names
from bascule.model.dhcp.client import DhcpClient, Handover
from bascule.model.dhcp.dhclient import WITHOUT_DEFAULT
from bascule.model.dhcp.kinds import KINDS
from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import Bridge, Nic
from bascule.model.links import Bridge as BridgeOptions
from bascule.model.links import Veth
from bascule.model.site import Host
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName
from bascule.model.volatile import Lifetime
from bascule.plan.leases import AddressMove, NameServers, leases, moves
from bascule.system.net.resolved import link_names
from bascule.system.process.programs import Program

ETH0, BR0 = IfName("eth0"), IfName("br0")
LEASED = Address(ip="10.0.0.5/24", dynamic=True, lifetime=Lifetime(valid_s=600))


def on(kind: str, words: str) -> Handover:
    return Handover(kind=kind, argv=tuple(words.split()), home=ETH0, link=ETH0, to=BR0, addresses=("10.0.0.5",))


@pytest.mark.parametrize(
    ("words", "links", "later"),
    [
        ("/sbin/dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/dhclient.eth0.leases -I eth0", ("eth0",),
         "/sbin/dhclient -4 -v -i -pf /run/dhclient.br0.pid -lf /var/lib/dhcp/dhclient.br0.leases -I br0"),
        ("dhclient -nw -q -H eth0 eth1 eth0", ("eth1", "eth0"), "dhclient -v -H br0 eth1 br0"),
        ("dhclient -d", (), "dhclient -v"),
        ("udhcpc -n -p /run/udhcpc.eth0.pid -i eth0", ("eth0",),
         "udhcpc -i br0 -b -r 10.0.0.5 -s {script} -p /run/udhcpc.br0.pid"),
        ("udhcpc -fi eth0.30 -t5 -x hostname:h -s /etc/own", ("eth0.30",),
         "udhcpc -i br0 -b -r 10.0.0.5 -s {script} -t 5 -x hostname:h"),
        ("udhcpc --interface=eth7 --background", ("eth7",), "udhcpc -i br0 -b -r 10.0.0.5 -s {script}"),
        ("dhcpcd: eth0 [ip4]", ("eth0",), "dhcpcd --lastlease -4 br0"),
        ("dhcpcd: eth0 [ip4] [ip6]", ("eth0",), "dhcpcd --lastlease br0"),
        ("dhcpcd: [manager] [ip4] [ip6]", (), "dhcpcd --lastlease br0"),
    ],
)  # fmt: skip
def test_a_command_line(words: str, links: tuple[str, ...], later: str) -> None:
    kind = KINDS[words.split(maxsplit=1)[0].rpartition("/")[2].rstrip(":")]
    assert kind.links(words.split()) == links
    assert " ".join(kind.start(on(kind.NAME, words)).argv) == later


@pytest.mark.parametrize(
    ("words", "unused", "later", "script"),
    [
        ("dhcpcd: eth0 [ip4]", (Offer.GATEWAY,), "dhcpcd --lastlease -4 --nogateway br0", ""),
        ("dhcpcd: eth0 [ip4]", (Offer.DNS,),
         "dhcpcd --lastlease -4 --nooption domain_name_servers br0", ""),
        ("udhcpc -i eth0", (Offer.DNS, Offer.GATEWAY), "udhcpc -i br0 -b -r 10.0.0.5 -s {script}",
         'unset dns\nunset router\nexec "$script" "$@"\n'),
        ("dhclient -4 -sf /opt/own eth0", (Offer.DNS,), "dhclient -v -sf {script} -4 br0",
         'unset new_domain_name_servers;\nexec /opt/own "$@"\n'),
        ("dhclient eth0", (Offer.GATEWAY,), "dhclient -v -sf {script} br0",
         'unset new_routers; without_default;\nexec /sbin/dhclient-script "$@"\n'),
        ("dhclient -6 eth0", (Offer.GATEWAY,), "dhclient -v -6 br0", ""),
    ],
)  # fmt: skip
def test_what_the_new_link_does_not_use_of_its_lease(
    words: str, unused: tuple[Offer, ...], later: str, script: str
) -> None:
    kind = KINDS[words.split(maxsplit=1)[0].rstrip(":")]
    one = replace(on(kind.NAME, words), unused=unused)
    start = kind.start(one)
    assert " ".join(start.argv) == later
    assert start.script.endswith(script)
    assert bool(start.script) == bool(script)
    assert one.back.unused == ()  # at home the host's own hooks know the link


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("0 10 0 0 1", ""),
        ("24 192 168 5 10 0 0 1", "24 192 168 5 10 0 0 1"),
        ("8 10 10 0 0 1 0 10 0 0 254 32 1 2 3 4 10 0 0 9", "8 10 10 0 0 1 32 1 2 3 4 10 0 0 9"),
        ("", ""),
    ],
)
def test_the_default_route_goes_out_of_the_list_of_classless_routes(given: str, left: str) -> None:
    script = f"{WITHOUT_DEFAULT}without_default\necho $new_rfc3442_classless_static_routes"
    env = {"new_rfc3442_classless_static_routes": given}
    done = subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == left


def test_where_a_client_writes_its_number() -> None:
    def files(words: str) -> tuple[str, ...]:
        return KINDS[words.split(maxsplit=1)[0].rstrip(":")].pid_files(words.split())

    assert files("dhclient -pf /run/dhclient.eth0.pid eth0") == ("/run/dhclient.eth0.pid",)
    assert files("dhclient -6 eth0") == ("/run/dhclient6.pid",)
    assert files("udhcpc -p /run/x.pid") == ("/run/x.pid",)
    assert files("udhcpc -i eth0") == ()
    assert "/run/dhcpcd/eth0-4.pid" in files("dhcpcd: eth0 [ip4]")


def program(pid: int, words: str, parent: int = 1) -> Program:
    return Program(pid=pid, parent=parent, started=0, argv=tuple(words.split("|")))


def test_programs_are_told_from_their_helpers_and_from_what_a_manager_started() -> None:
    found = dhcp_clients([
        program(1, "systemd"), program(7, "dhcpcd: eth0 [ip4]"),
        program(8, "dhcpcd: [privileged proxy] eth0 [ip4]", 7),
        program(9, "/bin/busybox|udhcpc|-i|eth1"), program(10, "/usr/sbin/NetworkManager|--no-daemon"),
        program(11, "/sbin/dhclient|-d|-sf|/usr/lib/NetworkManager/nm-dhcp-helper|eth2", 10), program(12, "sshd: root"),
    ])  # fmt: skip
    assert [(c.kind, c.links, c.pid, c.daemon) for c in found] == [
        ("dhcpcd", ("eth0",), 7, ""), ("udhcpc", ("eth1",), 9, ""), ("dhclient", ("eth2",), 11, "NetworkManager"),
    ]  # fmt: skip


LEASES = b"""\
default-duid "\\000\\001";
lease {
  interface "eth1";
  fixed-address 10.9.0.9;
}
lease {
  interface "eth0";
  fixed-address 10.0.0.5;
  option dhcp-lease-time 7200;
}
"""


def test_a_lease_changes_its_link() -> None:
    start = KINDS["dhclient"].start(on("dhclient", "dhclient eth0"))
    assert ("/var/lib/dhcp/dhclient.leases", "/var/lib/dhcp/dhclient.leases") in start.carry
    assert start.rewrite is not None
    assert start.seconds is not None
    text = start.rewrite(LEASES, b"").decode()
    assert text.startswith('default-duid "\\000\\001";\nlease {\n  interface "br0";\n  fixed-address 10.0.0.5;')
    assert "eth" not in text
    assert start.seconds(text.encode()) == 7200
    again = start.rewrite(LEASES, LEASES).decode()
    assert again.count("default-duid") == 1
    assert again.endswith('interface "br0";\n  fixed-address 10.0.0.5;\n  option dhcp-lease-time 7200;\n}\n')


def told(
    client: DhcpClient | None, *, to: IfName | None = BR0, daemon: DhcpClient | None = None
) -> tuple[list[str], int]:
    move = AddressMove(link=ETH0, to=to, addresses=(LEASED,))
    found = leases([move], [client] if client else [], {ETH0: daemon} if daemon else {})
    return [f"{note.kind}: {note.text}" for note in found.notes], len(found.handovers)


def test_what_the_plan_says() -> None:
    client = DhcpClient(kind="dhclient", links=("eth0",), argv=("dhclient", "eth0"), pid=7)
    words = "along: dhclient (process 7) continues with its lease on br0; here it stops without releasing it"
    assert told(client) == ([words], 1)
    words = (
        "warning: dhclient (process 7) runs on it and would give it an address again: stop it, this link becomes a port"
    )
    assert told(client, to=None) == ([words], 0)
    everywhere = DhcpClient(kind="dhcpcd", argv=("dhcpcd:", "[manager]"), pid=8)
    (text,), count = told(everywhere)
    assert text.startswith("warning: dhcpcd (process 8) was started for all links at once, so it stays")
    assert count == 0
    networkd = DhcpClient(kind="networkd", links=("eth0",), daemon="systemd-networkd")
    words = "along: systemd-networkd continues with the lease of 10.0.0.5 on br0 when it reads the files of this change"
    assert told(None, daemon=networkd) == ([words], 0)
    manager = DhcpClient(kind="NetworkManager", links=("eth0",), daemon="NetworkManager")
    static = AddressMove(link=ETH0, to=BR0, addresses=(Address(ip="10.0.0.5/24"),))
    assert leases([static], [], {ETH0: manager}).notes == (), "an address that it was told keeps no lease"
    assert leases([AddressMove(link=ETH0, to=None, addresses=())], [], {ETH0: manager}).notes == ()
    (note,) = leases([replace(static, to=None)], [], {ETH0: manager}).notes
    assert (
        note.text == "NetworkManager runs on it and would give it an address again: stop it, this link becomes a port"
    )
    (text,), count = told(None)
    assert text == (
        "warning: 10.0.0.5/24 has a lifetime, and no DHCP client was found that keeps it: on br0 it ends in 600 s "
        "unless one is started there"
    )
    nobody = leases([AddressMove(link=ETH0, to=BR0, addresses=(LEASED,))], [], {}, sees_all=False)
    assert nobody.notes == (), "an ordinary user does not see who keeps it"
    elsewhere = DhcpClient(kind="dhclient", links=("eth5",), argv=("dhclient", "eth5"), pid=9)
    assert told(elsewhere)[1] == 0


def host(*, dhcp: bool = False) -> Host:
    nics = {ETH0: Nic(name=ETH0)}
    return Host(name="h", nics=nics, bridges={BR0: Bridge(name=BR0, uplink=ETH0, dhcp=dhcp)})


def test_where_leases_go() -> None:
    nic, bridge = Link(name=ETH0, options=Veth()), Link(name=BR0, options=BridgeOptions())
    before = HostState(links={ETH0: replace(nic, addresses=(LEASED,))})
    bare = HostState(links={ETH0: replace(nic, master=BR0), BR0: bridge})
    moved = HostState(links={**bare.links, BR0: replace(bridge, addresses=(LEASED,))})
    assert [*moves(host(), before, before)] == []
    assert [move.to for move in moves(host(), before, moved)] == [BR0]
    assert [move.to for move in moves(host(dhcp=True), before, bare)] == [BR0]
    assert [move.to for move in moves(host(), before, bare)] == [None]


RESOLVECTL = """\
#!/bin/sh
if [ $# = 2 ]; then cat "$(dirname "$0")/$1.$2" 2>/dev/null || echo "Link 4 ($2):"; exit; fi
fact=$1 link=$2; shift 2
echo "Link 4 ($link): $*" >"$(dirname "$0")/$fact.$link"
"""


def test_name_servers_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """resolvectl's words as systemd 252 prints them."""
    (tmp_path / "resolvectl").write_text(RESOLVECTL)
    (tmp_path / "resolvectl").chmod(0o755)
    (tmp_path / "dns.eth0").write_text("Link 2 (eth0): 10.0.0.53 fd00::53\n")
    (tmp_path / "domain.eth0").write_text("Link 2 (eth0): example.org ~corp\n")
    (tmp_path / "default-route.eth0").write_text("Link 2 (eth0): yes\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert link_names("eth0") == {}, "in another namespace, or without systemd-resolved, nobody is asked"
    monkeypatch.setattr("bascule.system.net.resolved.is_machines_own", lambda: True)
    monkeypatch.setattr("bascule.system.net.resolved.SOCKET", tmp_path)
    facts = {"dns": "10.0.0.53 fd00::53", "domain": "example.org ~corp", "default-route": "yes"}
    assert link_names("eth0") == facts
    assert link_names("br0") == {}
    going = NameServers(link=ETH0, to=BR0, facts=facts)
    (note,) = leases([], [], {}, [going]).notes
    assert note.text == "its name servers in systemd-resolved (10.0.0.53 fd00::53) are br0's as well"
    assert give_names([going]) == ()
    assert link_names("br0") == facts
