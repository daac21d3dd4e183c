"""What cannot be read is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import BasculeError, UsageFault
from bascule.model.site import Service
from bascule.observe import packet_path
from bascule.site import parse
from bascule.topology.declared import declared_links
from bascule.topology.trace.rules.reading import Listings
from bascule.verify.reachability.live import of_state, scene, why
from tests.lab import Lab


@pytest.mark.kernel
def test_a_broken_listing_of_nft_is_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_path, "_listings", lambda *_: Listings(nft='{"nftables": [{"table"'))
    with pytest.raises(BasculeError, match="broken") as raised:
        packet_path.read_network(lab.namespace("h"))
    assert raised.value.problems[0].code == "NFT-JSON"


def test_one_without_an_address_cannot_be_asked(tmp_path: Path) -> None:
    read = parse(
        b"""
        site: t
        hosts: {h: {bridges: {br0: {uplink: none}}}}
        guests:
          web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
          bare: {host: h, nics: [{bridge: br0}]}
        """,
        "site.yaml",
    )
    host = read.hosts["h"]
    asked = scene(of_state(declared_links(read, host), read, host), "h", "a file", read, host)
    with pytest.raises(UsageFault) as raised:
        why(asked, "web", "bare", Service("icmp"))
    assert raised.value.problems[0].code == "NO-ADDRESS"
