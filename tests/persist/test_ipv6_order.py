"""The first IPv6 address of a link leads after the next start, too: the host speaks with it where others fit as well.

The kernel lists the newest address first. Of what stands in their files some managers set the last one at last.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.host_links import Ipv6
from bascule.model.values import IfName
from tests.persist.configs import recipe
from tests.persist.test_readers import RUN, bring_up, files_of

ORDER = ("fd00:2::2/64", "fd00:2::9/64", "fd00:2::1/64")
ALL = "until [ $(ip -6 addr show eth2 | grep -c fd00:2::) = 3 ]; do sleep 0.1; done"


@pytest.mark.kernel
@pytest.mark.parametrize("name", RUN)
def test_they_are_there_in_their_order_after_a_start(name: str, tmp_path: Path) -> None:
    links = dict(recipe().links)
    nic = links[IfName("eth2")]
    links[nic.name] = replace(nic, addresses=(*nic.addresses, *ORDER), ipv6=Ipv6.MANUAL)
    seen = bring_up(tmp_path, name, recipe().with_links(links.values()), ALL)
    shown = [one for one in seen.links["eth2"]["addr_info"] if one["family"] == "inet6" and one["scope"] == "global"]
    assert [f"{one['local']}/{one['prefixlen']}" for one in shown] == [*ORDER], files_of(name, recipe())
