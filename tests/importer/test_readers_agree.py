"""What an import says of files is what their own reader makes of them in the kernel (`make soak`).

Each case whose links this kernel can make is brought up by the reader of its dialect from the files as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.model.host_links import HostLink, HostRoute
from bascule.model.links import Bridge
from bascule.persist.config import NetworkConfig
from bascule.persist.formats.host_routes import host_route_words, kernel_host_route
from bascule.persist.wanted import wanted_config
from bascule.providers.kernel.routes import read_route
from tests.importer.test_cases import CASES
from tests.importer.test_migrations import ready
from tests.persist.readers import ask
from tests.persist.test_readers import RUN
from tests.real_hosts.installers import INSTALLED

READER = {"networkd": "networkd", "netplan": "netplan", "keyfile": "keyfile", "ifupdown": "ifupdown"}
ODD = {  # what cannot be compared, and why
    "np-nm-passthrough": "NetworkManager brings it up, not networkd",
    "deb-two-gateways-metric": "its files name links that are not there",
    "deb-down-hooks-and-scripts": "its firewall's script is not there",
    "nd-same-name-etc": "ip reads the name of its NIC 'b' as a word of its own",
    "nd-vrf-and-dummy-bridge": "its VRF cannot be made here",
    "nd-link-path": "udev sets the MTU of its .link file",
    "deb-abbreviated-commands": "ifupdown refuses a file with an unknown method; the import costs that stanza",
    "deb-mapping-whole": "its alias comes up before the bridge that it is of",
    "nd-hetzner-ends": "networkd gives its bridge the addresses when a guest is there",
    "np-router-nested-subnets": "a veth has no permanent MAC by which netplan's units would know it",
    "deb-tunnel-6in4": "its tunnel cannot be made here, and without it ifup takes the addresses back",
    "np-renderer-per-device": "netplan 0.106 refuses the file for one MAC; the import costs that key",
    "np-rpi-os-static": "NetworkManager brings it up, not networkd",
    "np-scaleway-bridge": "a veth has no permanent MAC by which netplan's units would know it",
    "nd-conditions-and-servers": "it is for a driver and a machine that are not here",
    "rpi-bridge-and-dhcpcd": "dhcpcd gives the addresses, and does not run there",
    "t17": "a veth has no permanent MAC by which networkd would know it",
    "t20": "ifupdown passes over names with a point in a source-directory, and ifupdown2 reads them",
    "t22": "nothing brings its links up, as the import says",
    "t30": "it waits for a router and a server that are not here",
    "t37": "ifupdown refuses a file with an option that has no value; the import costs the option alone",
}


def said(case: Path) -> tuple[str, NetworkConfig, Mapping[str, HostLink]] | None:
    """The reader of a case, and what the import says of links that this kernel can make and that wait for no lease."""
    found = workflow.import_host(root=str(case), host="h")
    host = found.site.hosts["h"]
    reader = READER.get(found.dialect or "")
    if (
        reader is None
        or any(bridge.uplink_unknown for bridge in host.bridges.values())
        or any(bond.nics_unknown for bond in host.bonds.values())
    ):
        return None
    config = wanted_config(found.site, host)
    kinds = {link.options.kind for link in config.links.values()}
    aware = any(bridge.vlan_aware for bridge in host.bridges.values())
    if kinds - {"", "bridge"} or aware or any(link.dhcp4 for link in config.links.values()) or not config.links:
        return None
    return reader, config, {link.name: link for link in host.links()}


@pytest.mark.kernel
@pytest.mark.skipif(not os.environ.get("BASCULE_SOAK"), reason="each reader takes seconds for each case: make soak")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_the_kernel_has_what_the_import_says(case: Path, tmp_path: Path) -> None:
    agree(case, tmp_path)


@pytest.mark.kernel
@pytest.mark.skipif(not os.environ.get("BASCULE_SOAK"), reason="each reader takes seconds for each case: make soak")
@pytest.mark.parametrize("name", INSTALLED)
def test_the_kernel_has_what_the_import_says_of_an_installers_files(name: str, tmp_path: Path) -> None:
    case = tmp_path / "host"
    INSTALLED[name].lay(case)
    (tmp_path / "room").mkdir()
    agree(case, tmp_path / "room")


def agree(case: Path, tmp_path: Path) -> None:
    """Bring a case up by its reader, and compare what the kernel has with what the import says."""
    known = said(case)
    if known is None or case.name in ODD:
        pytest.skip(ODD.get(case.name, "a lease, a link that this kernel cannot make, or no reader of it here"))
    name, config, said_links = known
    packages, before, up, _ = RUN[name]
    up += "; ifup -a --allow=hotplug" if name == "ifupdown" else ""  # udev's part of a start
    files = {str(p.relative_to(case)): p.read_text() for p in case.rglob("*") if p.is_file() and p.name != "site.yaml"}
    nics = [link.name for link in config.links.values() if not link.options.kind]
    pins = [f"ip link set {n} address {link.pin_mac}" for n, link in config.links.items() if link.pin_mac]
    nowhere = [f"ip -{r.to.version} route show table all | grep -q ' {r.to} '" for r in config.routes if not r.hops]
    waits = [f"for i in $(seq 50); do {test} && break; sleep 0.1; done" for test in nowhere]
    script = [before, ready(config).replace("seq 900", "seq 120"), *pins, f"{up} || true", "until_ready", *waits]
    seen = ask(tmp_path, packages, files, "\n".join(script), nics=nics)
    wrong = []
    for link in config.links.values():
        there = seen.links.get(link.name)
        if there is None:
            wrong.append(f"{link.name} is not there")
            continue
        ours = seen.addresses(link.name)
        told = {a for a in link.addresses if not a.startswith("fe80")}
        facts: dict[str, tuple[object, object]] = {
            "addresses": (told, {a for a in ours if a in link.addresses or ":" not in a}),
            "master": (link.master, there.get("master")),
        }
        if link.port is not None:
            slave = there.get("linkinfo", {}).get("info_slave_data", {})
            flags = {key: value for key, value in link.port.as_json().items() if isinstance(value, bool)}
            facts["port flags"] = (flags, {key: slave.get(key) for key in flags})
        if said_links[link.name].mtu:
            facts["MTU"] = (link.mtu, there["mtu"])
        if link.is_bridge:
            info = there["linkinfo"]["info_data"]
            for key in ("stp_state", "priority", "hello_time", "max_age"):
                facts[key] = (getattr(link.options, key), info[key])
            if isinstance(link.options, Bridge) and link.options.stp_state:
                facts["forward_delay"] = (link.options.forward_delay, info["forward_delay"])
            if said_links[link.name].mac:
                facts["MAC"] = (said_links[link.name].mac, there["address"])
        wrong += [
            f"{link.name}: {key} is {is_}, and the import says {says}"
            for key, (says, is_) in facts.items()
            if says != is_
        ]
        routes = {(r["dst"], r.get("gateway", ""), r.get("dev")) for r in seen.tables}
        for route in link.routes:
            dst = "default" if route.dst.endswith("/0") else route.dst.removesuffix("/32").removesuffix("/128")
            if (dst, route.gateway, link.name) not in routes:
                wrong.append(f"{link.name}: no route {route}")
    kernel_has = [kernel for kernel in map(whole, seen.tables) if kernel is not None]
    there_now = {host_route_words(each) for each in kernel_has}
    there_now |= {host_route_words(replace(each, metric=None)) for each in kernel_has}  # NetworkManager's own rank
    wrong += [f"no {words}" for route in config.routes if (words := host_route_words(route)) not in there_now]
    assert not wrong, "\n".join(wrong) + seen.stderr[-800:]


def whole(entry: Mapping[str, Any]) -> HostRoute | None:
    """A route of the kernel as one on no single link, if it is that."""
    default = "::/0" if entry.get("pref") or ":" in str(entry.get("nexthops", "")) else "0.0.0.0/0"
    route = read_route({**entry, "protocol": "static"}, default)
    return kernel_host_route(route) if route is not None else None
