"""D6: what a bridge heard of routers, and what names it, goes to the bridge that takes its place."""

from __future__ import annotations

import contextlib
import json
from ipaddress import ip_interface
from pathlib import Path

import pytest

from tests.apply.hosts import wait_for
from tests.lab import pings
from tests.real_hosts.field import ONE_NIC, Field
from tests.real_hosts.test_ra_in_the_window import advertise

OTHER = ONE_NIC.replace("br0:", "br1:")
PLAIN = """\
site: one
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}}
"""
BOTH = """\
site: one
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  lab: {subnet: 192.168.7.0/24}
hosts:
  kvm:
    nics: {eth0: {network: office}, eth1: {network: lab}}
    bridges: {br0: {uplink: eth0, address: from-uplink}, br1: {uplink: eth1, address: from-uplink}}
"""
SECRET = "2001:db8::5ec:2e7"
SET = {"ipv6/conf/{}/accept_ra": "2", "ipv6/conf/{}/use_tempaddr": "2", "ipv4/conf/{}/rp_filter": "2",
       "ipv6/conf/{}/router_solicitations": "7"}  # fmt: skip


def prefixes(field: Field, link: str) -> set[str]:
    """The prefixes of a link's global IPv6 addresses."""
    shown = json.loads(field.ip(f"-j -6 addr show dev {link} scope global") or "[]")
    found = [a for entry in shown for a in entry.get("addr_info", ()) if a]
    return {str(ip_interface(f"{a['local']}/{a['prefixlen']}").network) for a in found}


def parameters(field: Field, link: str, values: dict[str, str] | None = None) -> dict[str, str]:
    """Those of ``SET`` on a link, written first where values are given."""
    with field.host.entered():
        paths = {key: Path("/proc/sys/net") / key.format(link) for key in SET}
        for key, value in (values or {}).items():
            paths[key].write_text(value)
        return {key: path.read_text().strip() for key, path in paths.items()}


@pytest.fixture
def bridged(real_host: Field) -> Field:
    """The host speaks on br0, which Bascule has made, and somebody has set parameters of it since."""
    with real_host.router.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    real_host.ip("link set eth1 down")  # it would hear the router as well
    assert real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    parameters(real_host, "br0", SET)
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: prefixes(real_host, "br0"), bool), "the host heard no router"
    return real_host


@pytest.mark.parametrize(("text", "link"), [(OTHER, "br1"), (PLAIN, "eth0")])
def test_d06_whoever_speaks_next_goes_on_hearing_routers(bridged: Field, text: str, link: str) -> None:
    path = bridged.site(text)
    bridged.batch("rule add iif br0 lookup main priority 700\nneigh add 192.168.1.9 lladdr 02:00:00:00:00:99 dev br0\n")
    assert bridged.document("rehearse", path)["ok"]
    planned = bridged.document("plan", path)
    said = {(note["kind"], note["subject"]): note["text"] for note in planned["notes"]}
    assert said["along", "br0"].endswith(f"move to {link}")
    assert f"the kernel makes new ones on {link}" in said["warning", "br0"], "temporary addresses end with their link"
    done = bridged.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert done.returncode == 0, done.stderr
    assert parameters(bridged, link) == SET
    assert prefixes(bridged, link) == {"fd00:1::/64"}
    assert f"iif {link} " in bridged.ip("rule")
    assert f"192.168.1.9 dev {link} " in bridged.ip("neigh show nud permanent")
    advertise(bridged, {"fd00:1::": 3600, "fd00:2::": 3600})
    assert wait_for(lambda: prefixes(bridged, link), lambda seen: len(seen) == 2) == {"fd00:1::/64", "fd00:2::/64"}
    assert bridged.document("plan", path)["changes"] == []
    undone = bridged.document("undo")
    assert undone["ok"], undone
    assert parameters(bridged, "br0") == SET
    assert prefixes(bridged, "br0") == {"fd00:1::/64", "fd00:2::/64"}
    assert "iif br0 " in bridged.ip("rule")


def test_d06_a_stable_secret_goes_from_bridge_to_bridge(real_host: Field) -> None:
    real_host.ip("link set eth0 down")
    with real_host.host.entered():
        Path("/proc/sys/net/ipv6/conf/eth0/stable_secret").write_text(SECRET)
    real_host.ip("link set eth0 up")
    real_host.ip("route add default via 192.168.1.1 dev eth0")
    for text in (ONE_NIC, OTHER):
        assert real_host.bascule("apply", real_host.site(text), "--yes", "--no-confirm").returncode == 0
    with real_host.host.entered():
        assert Path("/proc/sys/net/ipv6/conf/br1/stable_secret").read_text().strip().endswith("5ec:02e7")
    (link,) = json.loads(real_host.ip("-d -j link show br1"))
    assert link["inet6_addr_gen_mode"] == "stable_secret"


def test_d06_a_default_route_that_an_advertisement_brings_on_another_nic(real_host: Field) -> None:
    """The declared gateway takes its place, which is why it goes; the next advertisement brings it again."""
    with real_host.router.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    real_host.ip("addr add fd00:1::1/64 dev eth0 nodad", real_host.router)
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: "dev eth1" in real_host.ip("-6 route show default"), bool)
    text = PLAIN.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:1::/64']")
    text = text.replace("address: 192.168.1.10/24", "address: [192.168.1.10/24, 'fd00:1::10/64']")
    path = real_host.site(text.replace("gateway: 192.168.1.1}}", "gateway: [192.168.1.1, 'fd00:1::1']}}"))
    planned = real_host.document("plan", path)
    assert any("eth1" in change["action"] for change in planned["changes"]), (
        "it is replaced, or removed after the other"
    )
    (removed,) = [c for c in planned["changes"] if c["action"].startswith("remove route default")]
    assert removed["reason"] == "the route default via fd00:1::1 dev eth0 takes its place"
    assert any(
        note["subject"] == "eth1" and "the next router advertisement on eth1" in note["text"]
        for note in planned["notes"]
    )
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: "dev eth1" in real_host.ip("-6 route show default"), bool)
    assert real_host.document("plan", path)["changes"] == []


def test_d06_two_nics_that_hear_a_router_each(real_host: Field) -> None:
    """The kernel keeps both default routes in one place; set by hand the second would overwrite the first."""
    with real_host.router.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    real_host.ip("addr add 192.168.7.10/24 dev eth1")
    advertise(real_host, {"fd00:1::": 3600})

    def defaults() -> set[str]:
        return {route["dev"] for route in json.loads(real_host.ip("-6 -j route show default") or "[]")}

    assert wait_for(defaults, lambda seen: len(seen) == 2) == {"eth0", "eth1"}
    path = real_host.site(BOTH)
    (rehearsed,) = real_host.document("rehearse", path)["plans"]
    planned = real_host.document("plan", path)
    assert sorted(map(str, rehearsed["changes"])) == sorted(map(str, planned["changes"]))
    gone = [one["reason"] for one in planned["changes"] if one["action"].startswith("remove route default via fe80:")]
    assert gone == [f"the route default via fe80::ff:fe00:1 dev {link} takes its place" for link in ("br0", "br1")]
    done = real_host.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert done.returncode == 0, done.stderr
    assert defaults() == {"br0", "br1"}
    assert real_host.document("plan", path)["changes"] == []
    undone = real_host.document("undo")
    assert undone["ok"], undone
    assert defaults() == {"eth0", "eth1"}


@pytest.mark.parametrize("address", [", address: from-uplink", ""], ids=["the host speaks on it", "silent"])
def test_d06_a_bridge_that_comes_back_has_its_kernel_parameters(real_host: Field, address: str) -> None:
    """A bridge whose name changes is made anew by undo; what it says of that is what the kernel would not do."""
    text = BOTH.replace(", br1: {uplink: eth1, address: from-uplink}", f", br1: {{uplink: eth1{address}}}")
    done = real_host.bascule("apply", real_host.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    with real_host.host.entered():
        Path("/proc/sys/net/ipv4/conf/br1/rp_filter").write_text("2")
    before = every_parameter(real_host, "br1")
    assert before["ipv4/conf/br1/arp_ignore"] == ("0" if address else "1")
    path = real_host.site(text.replace("br1:", "lan:"))
    assert real_host.bascule("apply", path, "--yes", "--confirm-within", "600s").returncode == 0
    undone = real_host.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert every_parameter(real_host, "br1") == before
    said = " ".join(undone.stdout.split())
    assert "filter by loose reverse path (rp_filter)" in said
    assert "kernel parameter" not in said, "what the kernel gives to a new bridge, too"


def test_d06_a_bridge_of_others_hands_over_what_the_host_has_on_it(real_host: Field) -> None:
    """Proxmox's vmbr0, of which the file knows nothing: ``from-uplink`` means what the host says over the uplink."""
    real_host.batch("""\
link add vmbr0 type bridge mcast_snooping 0 forward_delay 0
link set eth0 master vmbr0
link set vmbr0 up
addr flush dev eth0
addr add 192.168.1.10/24 dev vmbr0
addr add 192.168.1.77/24 dev vmbr0
addr add 2001:db8::10/64 dev vmbr0 nodad
route add default via 192.168.1.1 dev vmbr0
route add 10.5.0.0/16 via 192.168.1.1 dev vmbr0
rule add iif vmbr0 lookup main priority 700
""")
    parameters(real_host, "vmbr0", SET)
    before, routes, rules = every_parameter(real_host, "vmbr0"), real_host.ip("route"), real_host.ip("rule")
    addresses = real_host.ip("-o addr show dev vmbr0")
    path = real_host.site(ONE_NIC)
    done = real_host.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert done.returncode == 0, done.stderr
    assert pings(real_host.pc, "192.168.1.77")
    assert "scope global" not in real_host.ip("addr show dev vmbr0")
    assert real_host.ip("route") == routes.replace("vmbr0", "br0")
    assert parameters(real_host, "br0") == SET
    assert real_host.document("plan", path)["changes"] == []
    undone = real_host.document("undo")
    assert undone["ok"], undone
    assert (real_host.ip("route"), real_host.ip("rule")) == (routes, rules)
    assert every_parameter(real_host, "vmbr0") == before
    assert sorted(real_host.ip("-o addr show dev vmbr0").split()) == sorted(addresses.split())


def every_parameter(field: Field, link: str) -> dict[str, str]:
    """All of a link, as far as they can be read."""
    found = {}
    with field.host.entered():
        for folder in (f"ipv{version}/{kind}/{link}" for version in (4, 6) for kind in ("conf", "neigh")):
            for path in Path("/proc/sys/net", folder).iterdir():
                with contextlib.suppress(OSError):
                    found[f"{folder}/{path.name}"] = path.read_text().strip()
    return found
