"""Small worlds for tests: namespaces wired by hand, without the twin, so that both are tested apart."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface

import pytest

from bascule.model.links import read_kind
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.probe.domain import CapturePoint, ProbeAttachment, ProbeDomain
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.patience import patient

HOST = "vmserver"


def _serve(listeners: Sequence[tuple[Namespace, str, int]], ready: int) -> None:
    """In a child: servers that say whom they see, as the twin's do."""
    loop = selectors.DefaultSelector()
    for namespace, protocol, port in listeners:
        with namespace.entered():
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            sock = socket.socket(socket.AF_INET6, kind)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::", port))
            if protocol == "tcp":
                sock.listen(64)
            loop.register(sock, selectors.EVENT_READ, protocol)
    os.write(ready, b".")
    while True:
        for key, _ in loop.select():
            peer_or_data = key.fileobj
            assert isinstance(peer_or_data, socket.socket)
            sock = peer_or_data
            with contextlib.suppress(OSError):
                if key.data == "tcp":
                    peer, address = sock.accept()
                    peer.send(f"bascule {address[0].removeprefix('::ffff:')} {address[1]}\n".encode())
                    peer.close()
                else:
                    data, address = sock.recvfrom(65535)
                    head = f"bascule {address[0].removeprefix('::ffff:')} {address[1]} ".encode()
                    sock.sendto(head + data, address)


class Builder:
    """Namespaces, bridges and cables; everything goes when it is closed."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self.attachments: dict[str, list[ProbeAttachment]] = {}
        self.points: list[CapturePoint] = []
        self.servers: list[int] = []
        self._macs = 0
        for name in (HOST, "building"):
            self.node(name)

    def node(self, name: str) -> Namespace:
        if name not in self.namespaces:
            self.namespaces[name] = Namespace.new(name)
            self.ip(name, "link set lo up")
            for key in ("conf/all/disable_ipv6", "conf/default/accept_dad"):
                with self.namespaces[name].entered(), open(f"/proc/sys/net/ipv6/{key}", "w") as file:  # noqa: PTH123
                    file.write("0")
        return self.namespaces[name]

    def ip(self, name: str, *lines: str) -> None:
        run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n", namespace=self.namespaces[name])

    def nft(self, name: str, rules: str) -> None:
        run(["nft", "-f", "-"], stdin=rules, namespace=self.namespaces[name])

    def sysctl(self, name: str, path: str, value: str) -> None:
        with self.namespaces[name].entered(), open(f"/proc/sys/{path}", "w") as file:  # noqa: PTH123
            file.write(value)

    def bridge(self, name: str, node: str = HOST) -> None:
        self.ip(
            node,
            f"link add {name} type bridge forward_delay 0 mcast_snooping 0",
            f"link set {name} addrgenmode none",
            f"link set {name} up",
        )

    def cable(self, a: str, a_link: str, b: str, b_link: str) -> None:
        self.node(a), self.node(b)
        fd = self.namespaces[b].fd
        self.ip(a, f"link add {a_link} type veth peer name {b_link} netns /proc/{os.getpid()}/fd/{fd}")
        # both ends are up before either becomes a port: the kernel may tell a bridge of a later carrier after a second
        for node, link in ((a, a_link), (b, b_link)):
            self.ip(node, f"link set {link} addrgenmode none up")

    def port(self, node: str, link: str, bridge: str, owner: str | None = None) -> None:
        self.ip(node, f"link set {link} addrgenmode none master {bridge} up")
        self.points.append(
            CapturePoint(node=owner or node, namespace=self.namespaces[node], link=IfName(link), master=IfName(bridge))
        )

    def attachment(
        self, name: str, link: str, addresses: Sequence[str], network: str | None, gateway: str | None = None
    ) -> ProbeAttachment:
        """The NIC of an endpoint, up, with its addresses."""
        self._macs += 1
        mac = f"52:54:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}"
        self.ip(
            name,
            f"link set {link} address {mac} up",
            *(f"address add {a} dev {link}" + (" nodad" if ":" in a else "") for a in addresses),
        )
        if gateway:
            self.ip(name, f"route add default via {gateway}")
        attachment = ProbeAttachment(
            endpoint=name,
            namespace=self.namespaces[name],
            link=IfName(link),
            mac=Mac(mac),
            addresses=tuple(ip_interface(a) for a in addresses),
            network=network,
        )
        self.attachments.setdefault(name, []).append(attachment)
        self.points.append(CapturePoint(node=name, namespace=attachment.namespace, link=attachment.link))
        return attachment

    def guest(
        self, name: str, bridge: str, *addresses: str, network: str | None, gateway: str | None = None
    ) -> ProbeAttachment:
        """A guest behind a tap-like port of a bridge of the host."""
        self.cable(HOST, f"{name}.0", name, "eth0")
        self.port(HOST, f"{name}.0", bridge)
        return self.attachment(name, "eth0", addresses, network, gateway)

    def network(self, name: str) -> None:
        """A switch of the building."""
        self.bridge(name, "building")

    def uplink(self, nic: str, network: str, bridge: str | None = None, *addresses: str) -> None:
        """A NIC of the host on a network: under a bridge, or with the host's own addresses."""
        self.cable(HOST, nic, "building", f"p-{nic}")
        self.port("building", f"p-{nic}", network, owner=network)
        if bridge:
            mac = json.loads(run(["ip", "-j", "link", "show", nic], namespace=self.namespaces[HOST]).stdout)[0][
                "address"
            ]
            self.ip(HOST, f"link set {bridge} address {mac}")
            self.port(HOST, nic, bridge)
        else:
            self.attachment(HOST, nic, addresses, network)

    def machine(
        self, name: str, network: str, *addresses: str, nic: str = "eth0", gateway: str | None = None
    ) -> ProbeAttachment:
        """A machine's attachment on a network of the building."""
        self.node(name)
        self.cable("building", f"{name}-{nic}", name, nic)
        self.port("building", f"{name}-{nic}", network, owner=network)
        return self.attachment(name, nic, addresses, network, gateway)

    def settle(self, patience_s: float = 5.0) -> None:
        """Wait until every port forwards: the kernel tells a bridge of a new carrier up to a second late."""
        end = time.monotonic() + patient(patience_s)
        for node in (HOST, "building"):
            while time.monotonic() < end:
                ports = json.loads(
                    run(["bridge", "-j", "link", "show"], namespace=self.namespaces[node]).stdout or "[]"
                )
                if all(port.get("state") == "forwarding" for port in ports if port.get("master")):
                    break
                time.sleep(0.02)

    def serve(self, *listeners: tuple[str, str, int]) -> None:
        """Servers as ``(node, "tcp", 80)`` in a child process."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _serve([(self.namespaces[node], protocol, port) for node, protocol, port in listeners], writer)
            finally:
                os._exit(1)
        os.close(writer)
        assert os.read(reader, 1) == b"."
        os.close(reader)
        self.servers.append(pid)

    @property
    def probe_domain(self) -> ProbeDomain:
        return ProbeDomain(
            attachments={name: tuple(attachments) for name, attachments in self.attachments.items()},
            points=tuple(self.points),
            hosts={HOST: self.namespaces[HOST]},
        )

    def close(self) -> None:
        for pid in self.servers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for namespace in self.namespaces.values():
            namespace.close()


def read_state(builder: Builder) -> HostState:
    """The host's links as ip tells them: just what the checks need."""
    shown = json.loads(run(["ip", "-j", "-d", "address", "show"], namespace=builder.namespaces[HOST]).stdout)
    links = []
    for item in shown:
        info = item.get("linkinfo", {})
        links.append(
            Link(
                name=IfName(item["ifname"]),
                options=read_kind(info.get("info_kind", ""), info.get("info_data", {})),
                up="UP" in item["flags"],
                facts=LinkFacts(carrier="LOWER_UP" in item["flags"]),
                mac=Mac(item["address"]) if item.get("address") else None,
                mtu=item["mtu"],
                master=IfName(item["master"]) if "master" in item else None,
                addresses=tuple(
                    Address(ip=f"{a['local']}/{a['prefixlen']}", scope=a["scope"]) for a in item["addr_info"]
                ),
            )
        )
    return HostState.of(links)


@contextlib.contextmanager
def building() -> Iterator[Builder]:
    """An empty building with a host; skipped where namespaces are not allowed."""
    try:
        builder = Builder()
    except PermissionError:
        pytest.skip("network namespaces need root here")
    try:
        yield builder
    finally:
        builder.close()


def production(builder: Builder) -> None:
    """The production scenario without its DHCP server: guest_02 has a static address."""
    for network in ("internal", "internet"):
        builder.network(network)
    builder.bridge("br3")
    builder.bridge("br4")
    builder.uplink("eth2", "internal", None, "192.168.1.10/24")
    builder.uplink("eth3", "internet", None, "129.230.1.10/16")
    builder.uplink("eth4", "internal", "br3")
    builder.uplink("eth5", "internet", "br4")
    builder.guest("guest_01", "br4", "129.230.1.21/16", network="internet", gateway="129.230.0.1")
    builder.guest("guest_02", "br3", "192.168.1.102/24", network="internal", gateway="192.168.1.1")
    builder.guest("guest_03", "br3", "192.168.1.33/24", network="internal", gateway="192.168.1.1")
    builder.machine("dmz", "internal", "192.168.1.1/24")
    builder.machine("dmz", "internet", "129.230.0.1/16", nic="eth1")
    builder.machine("desk", "internal", "192.168.1.50/24", gateway="192.168.1.1")
    builder.machine("customer", "internet", "129.230.200.9/16", gateway="129.230.0.1")
    builder.sysctl("dmz", "net/ipv4/ip_forward", "1")
    builder.nft(
        "dmz",
        "table inet t { chain f { type filter hook forward priority 0; policy drop;"
        " ct state established,related accept; ip saddr 192.168.1.102 oifname eth1 accept; }\n"
        "chain n { type nat hook postrouting priority srcnat; ip saddr 192.168.1.102 oifname eth1 masquerade; }\n}\n",
    )
    builder.settle()
    builder.serve(
        ("guest_01", "tcp", 80), ("guest_01", "tcp", 443), ("guest_02", "tcp", 3389), ("guest_02", "tcp", 8042),
        ("guest_03", "tcp", 502), ("dmz", "tcp", 21), ("dmz", "udp", 53), ("customer", "tcp", 80),
        ("customer", "udp", 5000),
    )  # fmt: skip
