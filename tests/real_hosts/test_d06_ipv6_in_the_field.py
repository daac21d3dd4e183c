"""D6: temporary addresses, stable secrets, every addrgenmode, advertised routes: apply, second plan, undo, rehearse."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.model.state import HostState
from bascule.model.state_json import from_json, to_json
from bascule.model.values import IfName
from bascule.plan.diff import diff
from bascule.providers.kernel.observe import read_link
from bascule.site import parse
from bascule.system.run import find_tool
from tests.apply.hosts import wait_for
from tests.real_hosts.field import ONE_NIC, Field

RADVD = """\
interface eth0 {
  AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 600;
  prefix fd00:1::/64 { AdvValidLifetime 1200; AdvPreferredLifetime 900; };
  route fd00:77::/48 { AdvRouteLifetime 500; };
};
"""
IPV6 = ONE_NIC.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:1::/64']")
SECRET = "2001:db8::5ec:2e7"
MODES = {
    "eui64": ("addrgenmode eui64",),
    "none": ("addrgenmode none",),
    "random": ("addrgenmode random",),
    "stable_secret": (),
}


@pytest.fixture
def advertised(real_host: Field) -> Iterator[Field]:
    """The router advertises a prefix, a default route and one more, by radvd; eth0 makes temporary addresses."""
    field = real_host
    with field.router.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    with field.host.entered():
        for key, value in (("use_tempaddr", "2"), ("accept_ra_rt_info_max_plen", "64"), ("accept_ra", "2")):
            Path(f"/proc/sys/net/ipv6/conf/eth0/{key}").write_text(value)
    config = field.folder / "radvd.conf"
    config.write_text(RADVD)
    with field.router.entered():
        radvd = subprocess.Popen(
            (find_tool("radvd"), "--nodaemon", f"--config={config}", f"--pidfile={field.folder}/radvd.pid",
             "--logmethod=none"), stderr=subprocess.DEVNULL,
        )  # fmt: skip
    yield field
    radvd.terminate()
    radvd.wait()


def ipv6(field: Field, link: str) -> dict[str, list[str]]:
    """The IPv6 addresses of a link that are not link-local: those that last, and the temporary ones."""
    entries = json.loads(field.ip(f"-6 -j addr show dev {link} scope global") or "[]")
    found: dict[str, list[str]] = {"lasting": [], "temporary": []}
    for address in (a for entry in entries for a in entry.get("addr_info", ()) if a):
        found["temporary" if address.get("temporary") else "lasting"].append(address["local"])
    return found


def routes(field: Field, link: str) -> set[str]:
    entries = json.loads(field.ip(f"-6 -j route show dev {link} proto ra") or "[]")
    return {entry["dst"] for entry in entries}


@pytest.mark.parametrize("mode", MODES)
def test_d06_temporary_addresses_and_how_they_are_made(advertised: Field, mode: str) -> None:
    field, path = advertised, advertised.site(IPV6)
    field.ip("link set eth0 down")
    for words in MODES[mode]:
        field.ip(f"link set eth0 {words}")
    if mode == "stable_secret":
        with field.host.entered():
            Path("/proc/sys/net/ipv6/conf/eth0/stable_secret").write_text(SECRET)
    field.ip("link set eth0 up")
    field.ip("route add default via 192.168.1.1 dev eth0")
    if mode == "none":
        field.ip("addr add fe80::10/64 dev eth0 nodad")
    before = wait_for(lambda: ipv6(field, "eth0"), lambda x: x["lasting"] and x["temporary"])
    assert before["lasting"], "no router advertisement came"
    assert wait_for(lambda: routes(field, "eth0"), lambda x: len(x) == 2) == {"default", "fd00:77::/48"}

    rehearsed = field.document("rehearse", path)
    assert rehearsed["ok"], [check for check in rehearsed["checks"] if check["ok"] is False]
    applied = field.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert applied.returncode == 0, applied.stderr
    assert ipv6(field, "br0")["lasting"] == before["lasting"]
    assert ipv6(field, "eth0") == {"lasting": [], "temporary": []}
    assert routes(field, "br0") == {"default", "fd00:77::/48"}
    assert f"addrgenmode {mode}" in field.ip("-d link show dev br0")
    with field.host.entered():
        for key, value in (("use_tempaddr", "2"), ("accept_ra_rt_info_max_plen", "64")):
            assert Path(f"/proc/sys/net/ipv6/conf/br0/{key}").read_text().strip() == value
        if mode == "stable_secret":
            assert Path("/proc/sys/net/ipv6/conf/br0/stable_secret").read_text().strip().endswith("5ec:02e7")
    new = wait_for(lambda: ipv6(field, "br0"), lambda x: x["temporary"])
    assert new["lasting"] == before["lasting"], "the next advertisement renews the address; it brings no other one"
    assert field.document("plan", path)["changes"] == []
    assert "drifted" not in field.bascule("status").stdout
    undone = field.bascule("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert ipv6(field, "eth0")["lasting"] == before["lasting"]
    assert f"addrgenmode {mode}" in field.ip("-d link show dev eth0")
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0, "no change is left pending"


def test_d06_temporary_addresses_are_no_part_of_a_comparison() -> None:
    def link(*temporary: str) -> HostState:
        addresses = [{"local": "fd00:1::5", "prefixlen": 64, "mngtmpaddr": True}]
        addresses += [{"local": ip, "prefixlen": 64, "temporary": True, "dynamic": True} for ip in temporary]
        return HostState.of([read_link({"ifname": "eth0", "flags": ["UP"]}, addresses)])

    with_one = link("fd00:1::abcd")
    assert not diff(link(), with_one)
    assert not diff(with_one, link())
    assert from_json(to_json(with_one)) == link("fd00:1::beef")
    (temporary,) = from_json(to_json(with_one)).links[IfName("eth0")].facts.temporaries
    assert temporary.ip == "fd00:1::abcd/64"


def test_d06_a_lease_of_dhcpv6_goes_along_and_back(real_host: Field) -> None:
    """The client asks from the bridge's link-local address, which is checked for duplicates first."""
    field = real_host
    needed = {"dnsmasq": "a DHCPv6 server", "dhclient": "a DHCPv6 client"}
    for tool, words in needed.items():
        if shutil.which(tool) is None and not Path(f"/usr/sbin/{tool}").exists():
            pytest.skip(f"{words} is wanted ({tool})")
    field.ip("addr add fd00:1::1/64 dev eth0 nodad", field.router)
    with field.host.entered():
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("1")
    with field.router.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        server = subprocess.Popen(
            (find_tool("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0",
             "--enable-ra", "--ra-param=eth0,4,600", "--dhcp-range=fd00:1::100,fd00:1::1ff,64,300", "--leasefile-ro",
             "--user=root", f"--pid-file={field.folder}/dnsmasq.pid"), stderr=subprocess.DEVNULL,
        )  # fmt: skip
    client = (find_tool("dhclient"), "-6", "-pf", f"{field.folder}/dh6.pid", "-lf", f"{field.folder}/dh6.leases")
    try:
        asked = field.run(*client, "eth0")
        leased = ipv6(field, "eth0")["lasting"]
        assert leased, asked.stderr
        text = field.bascule("import").stdout  # 'address: dhcp' was said of the IPv4 address, and nothing of DHCPv6
        nic = parse(text.encode(), "site.yaml").hosts["kvm"].nics[IfName("eth0")]
        assert ([*map(str, nic.addresses)], nic.dhcp, str(nic.ipv6)) == (["192.168.1.10/24"], False, "dhcp")
        assert field.document("plan", field.site(text))["changes"] == []
        path = field.site(IPV6)
        done = field.bascule("apply", path, "--yes", "--confirm-within", "600s")
        assert done.returncode == 0, done.stderr
        assert "dhclient" in done.stdout
        assert ipv6(field, "br0")["lasting"] == leased
        assert ipv6(field, "eth0")["lasting"] == []
        undone = field.bascule("undo")
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert ipv6(field, "eth0")["lasting"] == leased
    finally:
        field.run(*client, "-x", "eth0")
        server.terminate()
        server.wait()
