"""From one configuration system to every other: the kernel is the same afterwards, by the real reader of each.

migrations/NAME/etc/… are hosts as they are met: a RHEL 6 host by the classic recipe, a Proxmox host, a rented host
with a single address and a router outside of it, and one with NetworkManager's profiles.
"""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

import pytest

from bascule import workflow
from bascule.model.dialects import persistent
from bascule.model.host_links import MAIN_TABLE
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.rules import kernel_rule, rule_words
from bascule.persist.wanted import wanted_config
from bascule.providers.kernel.rules import read_rule
from bascule.site import parse
from tests.persist.readers import ask
from tests.persist.test_readers import RUN, files_of

HOSTS = sorted(path for path in (Path(__file__).parent / "migrations").iterdir() if path.is_dir())
NICS = ("eth2", "eth4")


def declared(host: Path) -> NetworkConfig:
    found = workflow.import_host(root=str(host), host="h")
    assert found.left == (), found.text
    assert all("IPv6" in note for note in found.notes), found.text
    return wanted_config(found.site, found.site.hosts["h"])


@pytest.mark.parametrize("name", persistent())
@pytest.mark.parametrize("host", HOSTS, ids=lambda path: path.name)
def test_every_dialect_says_the_host_or_names_what_it_cannot(host: Path, name: str) -> None:
    config = declared(host)
    try:
        files = dialect(name).render(config)
    except Inexpressible as gap:
        assert all(name in problem.message for problem in gap.problems)
        return
    parsed = dialect(name).parse(files)
    assert (parsed.config, parsed.left) == (config, ())


def ready(config: NetworkConfig) -> str:
    """A shell function that waits for the addresses, masters and IPv4 routes of a configuration."""
    tests = [f"ip -br addr show {name} | grep -qF {a}" for name, link in config.links.items() for a in link.addresses]
    tests += [f"ip -br link show master {link.master} | grep -q {n}" for n, link in config.links.items() if link.master]
    tests += [
        f"ip route show table all | grep -q 'via {route.gateway} dev {name}'"
        for name, link in config.links.items()
        for route in link.routes
        if route.gateway and not route.is_ipv6
    ]
    check = " && ".join(tests) or "true"
    return f"until_ready() {{ for i in $(seq 900); do if {check}; then sleep 1; return; fi; sleep 0.1; done; }}\n"


@pytest.mark.kernel
@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize("host", HOSTS, ids=lambda path: path.name)
def test_the_kernel_is_the_same_by_every_reader(host: Path, name: str, tmp_path: Path) -> None:
    config = declared(host)
    packages, before, up, _ = RUN[name]
    try:
        files = files_of(name, config)
    except Inexpressible as gap:
        assert all("does not support" in problem.message for problem in gap.problems)
        return
    seen = ask(tmp_path, packages, files, f"{before}\n{ready(config)}\n{up}\nuntil_ready", nics=NICS)
    assert seen.status == 0, seen.stderr
    routes = {(r["dst"], r.get("gateway", ""), r.get("dev"), str(r.get("table", "main"))) for r in seen.tables}
    for link in config.links.values():
        assert seen.addresses(link.name) == set(link.addresses)
        assert seen.links[link.name].get("master") == link.master
        there = seen.links[link.name]
        if link.options.kind and link.mac:
            assert there["address"] == link.mac
        assert there["mtu"] == (link.mtu or 1500)
        if link.is_bridge:
            assert there["linkinfo"]["info_data"]["stp_state"] == link.options.as_json().get("stp_state", 0)
        for route in link.routes:
            dst = "default" if route.dst.endswith("/0") else str(ip_interface(route.dst).network)
            table = "main" if route.table == MAIN_TABLE else str(route.table)
            assert (dst, route.gateway, link.name, table) in routes
    there = [rule for entry in seen.rules if (rule := read_rule(entry, ipv6=":" in entry.get("src", ""))) is not None]
    assert {rule_words(rule) for rule in config.rules} == {rule_words(kernel_rule(rule)) for rule in there}


@pytest.mark.parametrize("name", persistent())
def test_a_vlan_aware_bridge_with_the_kernels_own_vlans_is_said_by_every_dialect(name: str) -> None:
    text = b"site: s\nhosts: {h: {nics: {eno1: {}}, bridges: {br0: {uplink: eno1, vlan_aware: true}}}}\n"
    site = parse(text, "site.yaml")
    config = wanted_config(site, site.hosts["h"])
    parsed = dialect(name).parse(dialect(name).render(config))
    assert (parsed.config, parsed.left) == (config, ())
