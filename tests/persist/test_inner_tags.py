"""A VLAN inside a VLAN, as ifupdown itself reads our file: by the name alone it would make the outer one again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.persist.wanted import wanted_config
from bascule.site import parse
from tests.persist.readers import ask
from tests.persist.test_readers import RUN, files_of

SITE = b"""
site: s
hosts:
  h:
    nics: {eth4: {}, eth5: {}}
    vlans:
      eth4.50: {link: eth4, id: 50}
      eth4.50.60: {link: eth4.50, id: 60, address: 10.60.0.5/24}
      br2.7: {link: br2, id: 7, address: 10.70.0.5/24}
    bridges: {br2: {uplink: eth5}}
"""


@pytest.mark.kernel
def test_ifupdown_makes_the_links_that_are_meant(tmp_path: Path) -> None:
    """What it would run, in order: it makes no link that is there."""
    site = parse(SITE, "site.yaml")
    files = files_of("ifupdown", wanted_config(site, site.hosts["h"]))
    packages, before, *_ = RUN["ifupdown"]
    seen = ask(tmp_path, packages, files, f"{before}\nifup -n -v -a 2>&1 | tr -s ' \t'", nics=("eth4", "eth5"))
    made: dict[str, str] = {}
    for line in seen.stdout.splitlines():
        for part in line.split(";"):
            words = part.split("||")[0].split()
            if words[:4] == ["ip", "link", "add", "link"]:
                made.setdefault(words[6], f"{words[4]} {words[10]}")
    assert made == {"eth4.50": "eth4 50", "eth4.50.60": "eth4.50 60", "br2.7": "br2 7"}


@pytest.mark.kernel
def test_netplans_generator_stacks_them(tmp_path: Path) -> None:
    """As networkd gets it from the generator: each link names the VLANs on it."""
    site = parse(SITE, "site.yaml")
    files = files_of("netplan", wanted_config(site, site.hosts["h"]))
    script = "/usr/libexec/netplan/generate; cd /run/systemd/network; grep -H -e ^VLAN= -e ^Id= *"
    seen = ask(tmp_path, RUN["netplan"][0], files, script, nics=("eth4", "eth5"))
    told = {line.removeprefix("10-netplan-") for line in seen.stdout.splitlines()}
    assert told == {
        *("eth4.network:VLAN=eth4.50", "eth4.50.network:VLAN=eth4.50.60", "br2.network:VLAN=br2.7"),
        *("eth4.50.netdev:Id=50", "eth4.50.60.netdev:Id=60", "br2.7.netdev:Id=7"),
    }
