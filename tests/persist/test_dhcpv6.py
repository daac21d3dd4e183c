"""`ipv6: dhcp` by the real readers against a real DHCPv6 server on the other end of the cable."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.persist.wanted import wanted_config
from bascule.site import parse
from tests.persist.readers import ask
from tests.persist.test_readers import RUN, files_of

SITE = b"site: s\nhosts: {h: {nics: {eth2: {ipv6: dhcp}}}}\n"
SERVER = """
unshare -n sleep 300 & far=$!
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set eth2p netns $far
nsenter -t $far -n ip link set lo up
nsenter -t $far -n ip link set eth2p up
nsenter -t $far -n ip address add 2001:db8:66::1/64 dev eth2p nodad
nsenter -t $far -n dnsmasq --conf-file=/dev/null --port=0 --interface=eth2p --bind-interfaces --enable-ra \
    --dhcp-range=2001:db8:66::100,2001:db8:66::1ff,64,1h --dhcp-leasefile=/tmp/leases --pid-file=/tmp/pid --user=root
leased() { ip -6 addr show dev eth2 | grep -q '2001:db8:66::1[0-9a-f][0-9a-f]/128'; }
until_ready() { for i in $(seq 600); do if leased; then return; fi; sleep 0.1; done; }
"""


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["networkd", "keyfile", "ifupdown", "ifupdown2"])
def test_a_lease_comes(name: str, tmp_path: Path) -> None:
    """ifupdown2 asks where the first stanza says so, and its dhclient needs an address that is not tentative."""
    site = parse(SITE, "site.yaml")
    files = files_of(name, wanted_config(site, site.hosts["h"]))
    packages, before, up, _ = RUN[name]
    script = f"{before}\n{SERVER}\n{up}\nuntil_ready; cat /tmp/leases; kill $far"
    seen = ask(tmp_path, packages, files, script, nics=("eth2",))
    leased = [one for one in seen.addresses("eth2") if one.startswith("2001:db8:66::1") and one.endswith("/128")]
    assert leased, seen.stderr
    assert leased[0].removesuffix("/128") in seen.stdout  # the server knows it as well
