"""Open vSwitch: what a site file says of it."""

from __future__ import annotations

import pytest

from bascule.errors import BasculeError
from bascule.model.links import Physical
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.site import parse

SITE = """
site: s
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth1: {network: lan}}, bridges: {ovs0: {kind: openvswitch, uplink: eth1}}}}
"""


def test_no_plan_makes_one_yet() -> None:
    site = parse(SITE.encode(), "site.yaml")
    with pytest.raises(BasculeError) as told:
        make_plan(site, site.hosts["h"], HostState.of([Link(name=IfName("eth1"), options=Physical())]))
    assert [problem.code for problem in told.value.problems] == ["OPENVSWITCH-PLAN"]
    assert told.value.problems[0].place is not None
