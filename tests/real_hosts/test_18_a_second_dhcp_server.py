"""18: verify says who else answers DHCP on a wire than the file's server, where somebody shall get a lease."""

from __future__ import annotations

import subprocess
from typing import Any

from bascule.system.net.netns import Namespace
from bascule.system.run import find_tool
from tests.real_hosts.field import Field

SITE = """\
site: leases
networks: {office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: office%s}}
"""
ITSELF = SITE % ", address: dhcp"  # the host asks, and the file does not say whom
DECLARED = """\
    bridges: {br0: {uplink: eth1}}
guests:
  web: {host: kvm, nics: [{bridge: br0, tap: tapx, address: dhcp}]}
machines:
  router:
    nics: [{network: office, address: 192.168.1.1/24}]
    dhcp: {network: office, range: 192.168.1.100-192.168.1.120}
"""
WITH_GUEST = SITE % "" + DECLARED


def serve(field: Field, where: Namespace, name: str, first: int, gateway: str = "") -> None:
    """A real DHCP server there, which looks for nobody before it offers."""
    words = [find_tool("dnsmasq"), "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--interface=eth0"]
    words += [
        "--bind-interfaces",
        "--no-ping",
        "--user=root",
        "--leasefile-ro",
        f"--pid-file={field.folder}/{name}.pid",
    ]
    words.append(f"--dhcp-range=192.168.1.{first},192.168.1.{first + 9},1h")
    words += [f"--dhcp-option=option:router,{gateway}"] if gateway else []
    with where.entered():
        server = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def end() -> None:
        server.kill()
        server.wait()

    field.lab.keep(end)


def servers(field: Field, text: str) -> list[dict[str, Any]]:
    document = field.document("verify", field.site(text))
    return [one for one in document["checks"] if one["id"] == "dhcp-servers"]


def test_18_a_second_dhcp_server_on_the_wire_is_said(real_host: Field) -> None:
    field = real_host
    assert field.bascule("apply", field.site(WITH_GUEST), "--yes", "--no-confirm").returncode == 0
    serve(field, field.router, "router", 100)
    assert servers(field, WITH_GUEST) == []
    assert servers(field, ITSELF) == []
    rogue = field.station("rogue", "02:00:00:00:00:66", "192.168.1.66/24")
    serve(field, rogue, "rogue", 150, gateway="192.168.1.66")
    (check,) = servers(field, WITH_GUEST)
    assert (check["subject"], check["ok"]) == ("eth0", False)
    assert "192.168.1.66 (02:00:00:00:00:66) offers 192.168.1.15" in check["detail"]
    assert "by the gateway 192.168.1.66; the file names 192.168.1.1 for office" in check["detail"]
    assert field.bascule("undo", "--yes").returncode == 0
    (check,) = servers(field, ITSELF)
    assert (check["ok"], check["unproven"]) == (None, True)
    assert "192.168.1.1 (02:00:00:00:00:01) offers" in check["detail"] and "192.168.1.66" in check["detail"]


def test_18_a_guest_that_serves_leases_in_our_virtual_network_is_said(real_host: Field) -> None:
    """The network's own server is not met there: the host asks it by nothing that leaves by a port."""
    field = real_host
    text = SITE % "" + (
        "    virtual_networks: {lab: {mode: isolated, subnet: 192.168.1.0/24, dhcp: 192.168.1.200-192.168.1.210}}\n"
    )
    text = text.replace("address: 192.168.1.10/24", "address: 10.0.0.10/24")
    text = text.replace("networks: {office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}}",
                        "networks: {office: {subnet: 10.0.0.0/24}}")  # fmt: skip
    field.ip("addr flush dev eth0")
    done = field.bascule("apply", field.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert servers(field, text) == []
    guest = field.guest("bad", "tapx", "192.168.1.66/24", bridge="vn-lab", site=text)
    serve(field, guest, "bad", 150)
    (check,) = servers(field, text)
    assert (check["subject"], check["ok"]) == ("vn-lab", False)
    assert "lab has this host's own server, and guests take the first answer" in check["detail"]
