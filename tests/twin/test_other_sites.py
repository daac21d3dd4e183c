"""The twin of other sites, of observed hosts, and on bad days."""

from __future__ import annotations

import shutil
import socket
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from bascule.errors import BasculeError, CommandFailed, MissingTool
from bascule.guests.namespace import NamespaceDriver
from bascule.guests.plug import Plug
from bascule.model.links import Bridge as BridgeKind
from bascule.model.links import Physical, Tap
from bascule.model.site import DhcpRange, DhcpServer, Machine, MachineNic
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.observe.kernel_support import kernel_makes
from bascule.probe import dhcp_client
from bascule.system.net import rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.topology.endpoints import Endpoint, EndpointKind, EndpointNic
from bascule.twin import Twin, leases
from bascule.twin import dnsmasq as dns
from bascule.twin.fabric import settle
from tests.twin import ask
from tests.twin.sites import Bridge, Host, by_name, guest, machine, network, nic, production
from tests.twin.stage import PLAN, apply, inside, ip

pytestmark = pytest.mark.kernel


def observed() -> HostState:
    def link(name: str, options: Any, mac: str, **rest: Any) -> Link:
        return Link(name=IfName(name), options=options, mac=Mac(mac), **rest)

    return HostState.of(
        [
            link("eth2", Physical(), "00:25:90:00:00:02"),
            link("eth4", Physical(), "00:25:90:00:00:04", mtu=9000),
            link("eth9", Physical(), "00:25:90:00:00:09"),
            link("br3", BridgeKind(), "00:25:90:00:00:04"),
            link("guest_02.0", Tap(type="tap"), "fe:54:00:28:23:af", master=IfName("br3")),
            link("vnet7", Tap(type="tap"), "fe:54:00:00:00:77"),
        ]
    )


def test_an_observed_host_has_its_own_macs_and_stand_ins_for_its_taps() -> None:
    def work() -> Any:
        with Twin.raise_(production(), observed={"vmserver": observed()}) as twin:
            before = {x["ifname"]: (x["address"], x["mtu"]) for x in ip(twin.host("vmserver"), "link show")}
            apply(twin, PLAN + "link set guest_02.0 master br3 up\n")
            twin.plug_guests()
            twin.start_guests()
            return (
                before,
                [n.text for n in twin.notes],
                ask.tcp(twin.host("desk"), str(twin.leases["guest_02", IfName("eth0")].address.ip), 3389),
            )

    before, notes, answer = inside(work)
    assert notes == []  # eth9 and vnet7 stay down, and nobody waits for them
    assert before["eth2"][0] == "00:25:90:00:00:02"
    assert before["eth4"] == ("00:25:90:00:00:04", 9000)
    assert set(before) == {"lo", "eth2", "eth3", "eth4", "eth5", "eth9", "guest_02.0", "vnet7"}
    assert before["guest_02.0"][0] == "fe:54:00:28:23:af"
    assert before["vnet7"][0] == "fe:54:00:00:00:77"
    assert answer.startswith("bascule 192.168.1.50 ")  # the tap that was there leads to its guest


def test_guests_can_be_unplugged_replugged_and_detached() -> None:
    def work() -> Any:
        with Twin.raise_(production()) as twin:
            apply(twin)
            twin.plug_guests()
            twin.start_guests()
            driver = NamespaceDriver(twin.host("vmserver"), {"guest_03": twin.host("guest_03")})
            plug = twin.site.guests["guest_03"].nics[0]
            desk, guest_03 = twin.host("desk"), twin.host("guest_03")
            seen = [ask.ping(desk, "192.168.1.33")]
            driver.unplug([plug])
            silent = ask.ping(desk, "192.168.1.33", wait_s=ask.SILENT_S)
            seen += [silent, "LOWER_UP" in ip(guest_03, "link show eth0")[0]["flags"]]
            driver.replug([Plug(nic=plug, bridge=IfName("br4"))])
            master = ip(twin.host("vmserver"), f"link show {plug.tap}")[0]["master"]
            driver.replug([Plug(nic=plug, bridge=IfName("br3"))])
            seen.append(ask.ping(desk, "192.168.1.33"))
            driver.detach([plug])
            return seen, master, [x["ifname"] for x in ip(guest_03, "link show")]

    seen, master, left = inside(work)
    assert seen == [True, False, False, True]
    assert master == "br4"
    assert left == ["lo"]


def test_a_bridge_that_is_not_there_is_named_with_its_guests() -> None:
    def work() -> None:
        with Twin.raise_(production()) as twin:
            twin.plug_guests()

    with pytest.raises(CommandFailed) as caught:
        inside(work)
    assert [p.message for p in caught.value.problems] == [
        "there is no bridge 'br4' on vmserver to plug guest_01 into",
        "there is no bridge 'br3' on vmserver to plug guest_02, guest_03 into",
    ]


def test_no_lease_is_told_and_does_not_stop_the_rest() -> None:
    site = production(machines=by_name(machine("desk", ("internal", "192.168.1.50/24"))))

    def work() -> Any:
        with Twin.raise_(site) as twin:
            apply(twin)
            twin.plug_guests()
            twin.start_guests(dhcp_timeout_s=0.3)
            return [n.text for n in twin.notes], ask.tcp(twin.host("desk"), "192.168.1.33", 502)

    notes, answer = inside(work)
    assert notes == ["guest_02 got no DHCP lease on eth0: no server answered on network 'internal'"]
    assert answer.startswith("bascule")


def test_wide_port_ranges_answer_on_every_port() -> None:
    wide = machine("desk", ("internal", "192.168.1.50/24"), serves=("tcp/1-65535", "udp/1-65535"))
    other = machine("other", ("internal", "192.168.1.51/24"))

    def work() -> Any:
        with Twin.raise_(production(machines=by_name(wide, other))) as twin:
            namespace = twin.host("other")
            return [ask.tcp(namespace, "192.168.1.50", p) for p in (1, 80, 65535)], ask.udp(
                namespace, "192.168.1.50", 40000
            )

    answers, datagram = inside(work)
    assert [a.startswith("bascule 192.168.1.51 ") for a in answers] == [True] * 3
    assert datagram[0].startswith("bascule 192.168.1.51 ")


def test_many_guests_get_different_leases_at_once() -> None:
    many = by_name(*(guest(f"g{n:02}", "br3") for n in range(40)))

    def work() -> Any:
        with Twin.raise_(production(guests=many)) as twin:
            apply(twin)
            twin.plug_guests()
            twin.start_guests()
            return [str(lease.address.ip) for lease in twin.leases.values()], twin.notes

    addresses, notes = inside(work)
    assert len(set(addresses)) == 40
    assert notes == []


def test_a_silent_network_does_not_keep_the_guests_of_others_waiting() -> None:
    # more on the silent network than are asked for at once, and all of them before the one that can be served
    crowd = [guest(f"g{n:03}", "br4") for n in range(70)]

    def work() -> Any:
        with Twin.raise_(production(guests=by_name(*crowd, guest("lucky", "br3")))) as twin:
            apply(twin)
            twin.plug_guests()
            everybody = list(leases.askers(twin.site, twin.hosts, twin.wiring, {n: twin.host(n) for n in everyone}))
            clients = [dhcp_client.DhcpNic(namespace=a.namespace, link=a.link, mac=a.mac) for a in everybody]
            for name, end in twin.wiring.guests.items():
                settle(end, twin.host(name))
            for seconds in (1.0, 10.0, 60.0):  # a slow machine asks 74 in more than one
                found = dhcp_client.acquire(clients, timeout_s=seconds)
                if served := {a.endpoint for a, c in zip(everybody, clients, strict=True) if found[c]}:
                    break
            return served

    everyone = [*(g.name for g in crowd), "lucky", "dmz", "desk", "customer", "vmserver"]
    assert inside(work) == {"lucky"}


@pytest.mark.parametrize(("port", "kind"), [(53, socket.SOCK_DGRAM), (53, socket.SOCK_STREAM), (67, socket.SOCK_DGRAM)])
def test_a_taken_port_of_dnsmasq_is_one_clear_error(port: int, kind: socket.SocketKind) -> None:
    site = production()
    dmz = site.machines["dmz"]

    def work() -> None:
        with Namespace.new("dmz") as namespace:
            run(("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x"), namespace=namespace)
            end = Endpoint(
                kind=EndpointKind.MACHINE,
                name="dmz",
                nics=(
                    EndpointNic(
                        link=IfName("eth0"),
                        mac=Mac("52:54:00:00:00:01"),
                        addresses=(ip_interface("192.168.1.1/24"),),
                        network=site.networks["internal"],
                    ),
                ),
            )
            settle(end, namespace)
            with namespace.entered():
                taken = socket.socket(socket.AF_INET, kind)
                taken.bind(("", port))
                if kind is socket.SOCK_STREAM:
                    taken.listen()
            dns.start(site, [dmz], [end], [namespace], Path("/run"))

    with pytest.raises(CommandFailed) as caught:
        inside(work)
    (problem,) = caught.value.problems
    assert problem.code == "PORT-TAKEN"
    assert problem.message.startswith(f"port {port} of machine 'dmz' is taken, so its dnsmasq did not start")
    assert problem.hint


@pytest.mark.parametrize("tool", ["nft", "dnsmasq"])
def test_a_missing_tool_is_named(tool: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"nft", "dnsmasq"} - {tool}:
        (tmp_path / name).symlink_to(shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") or "missing")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=f"'{tool}' is not in PATH"):
        inside(lambda: Twin.raise_(production()).close())


def test_a_failure_half_way_lets_go_of_what_was_made() -> None:
    group = MachineNic(network="internal", mac=Mac("01:00:00:00:00:01"))
    bad = production(machines=by_name(Machine(name="dmz", nics=(group,))))

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def work() -> Any:
        before = descriptors()
        try:
            Twin.raise_(bad)
        except BasculeError as error:
            return [p.message for p in error.problems], descriptors() - before
        return None

    problems, leaked = inside(work)
    what = "'link add dmz.0 type veth peer name eth0' in namespace the building"
    assert problems == [f"{what} was refused: Cannot assign requested address"]
    assert leaked == 0


def test_tagged_networks_are_played_or_refused_by_name() -> None:
    site = production(
        networks=by_name(network("office", "10.3.0.0/24", vlan=30), network("internal", "192.168.1.0/24")),
        hosts=by_name(
            Host(
                name="vmserver",
                nics=by_name(nic("eth4", "internal")),
                bridges=by_name(Bridge(name=IfName("br3"), uplink=IfName("eth4"), vlan=30)),  # type: ignore[arg-type]
            )
        ),
        guests=by_name(guest("g", "br3", "10.3.0.2/24", serves=("tcp/80",))),
        machines=by_name(machine("desk", ("office", "10.3.0.9/24"))),
    )

    def work() -> Any:
        with Twin.raise_(site) as twin:
            apply(
                twin,
                "link set eth4 up\nlink add link eth4 name eth4.30 type vlan id 30\nlink add br3 type bridge\n"
                "link set eth4.30 up master br3\nlink set br3 up\n",
            )
            twin.plug_guests()
            twin.start_guests()
            return ask.tcp(twin.host("desk"), "10.3.0.2", 80)

    if inside(lambda: kernel_makes(lambda parent: rtnetlink.add_vlan("b.2", parent, 2, None))):
        assert inside(work).startswith("bascule 10.3.0.9 ")
    else:
        with pytest.raises(MissingTool, match="network 'office' arrives tagged"):
            inside(work)
        pytest.skip("this kernel has no 802.1Q links: only the refusal was tested")


def test_outside_of_a_sandbox_there_is_no_twin() -> None:
    with pytest.raises(RuntimeError, match="inside of a sandbox only"):
        Twin.raise_(production())


def test_two_dhcp_servers_on_two_networks() -> None:
    servers = by_name(
        machine(
            "one",
            ("internal", "192.168.1.1/24"),
            dhcp=DhcpServer(
                network="internal",
                range=DhcpRange(first=ip_interface("192.168.1.100").ip, last=ip_interface("192.168.1.110").ip),
            ),
        ),
        machine(
            "two",
            ("internet", "129.230.0.1/16"),
            dhcp=DhcpServer(
                network="internet",
                range=DhcpRange(first=ip_interface("129.230.9.1").ip, last=ip_interface("129.230.9.9").ip),
            ),
        ),
    )

    def work() -> Any:
        with Twin.raise_(production(guests=by_name(guest("a", "br3"), guest("b", "br4")), machines=servers)) as twin:
            apply(twin)
            twin.plug_guests()
            twin.start_guests()
            return {who: str(lease.address) for (who, _), lease in twin.leases.items()}

    found = inside(work)
    assert found["a"].startswith("192.168.1.1") and found["a"].endswith("/24")
    assert found["b"].startswith("129.230.9.") and found["b"].endswith("/16")
