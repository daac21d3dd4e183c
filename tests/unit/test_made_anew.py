"""A link that cannot change in place: what is told anew of it, and what the kernel begins it with anyway."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bascule.model.kernel_parameters import conf, neigh
from bascule.model.links import KINDS, Bridge, Dummy, LinkOptions, OpenVSwitch, Vlan
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.diff import diff
from bascule.providers.kernel.diff import steps
from tests.architecture.test_every_field import pairs


def test_it_is_told_only_what_the_kernel_does_not_begin_it_with() -> None:
    name = IfName("br0")
    keys = {conf(4, "br0", "rp_filter"): "1", conf(4, "default", "rp_filter"): "1"}
    keys |= {conf(4, "br0", "accept_local"): "1", conf(4, "default", "accept_local"): "0"}
    keys |= {neigh(4, "br0", "app_solicit"): "3"}  # a namespace does not show with which it begins
    before = HostState(links={name: Link(name=name, options=Bridge())}, sysctls=keys)
    after = replace(before, links={name: Link(name=name, options=OpenVSwitch())})
    for old, new in ((before, after), (after, before)):
        told = [command.words for one in steps(old, new) for command in one.commands if command.tool == "sysctl"]
        assert told == [(conf(4, "br0", "accept_local"), "1"), (neigh(4, "br0", "app_solicit"), "3")]


FIXED = [
    (kind, *x)
    for kind in KINDS.values()
    if kind.virtual and kind.by_kernel
    for x in pairs(kind, {})
    if x[0] in kind.fixed
]


@pytest.mark.parametrize(("kind", "option", "one", "other"), FIXED, ids=[f"{x[0].kind}-{x[1]}" for x in FIXED])
def test_what_the_kernel_takes_at_creation_only_is_said(
    kind: type[LinkOptions], option: str, one: Any, other: Any
) -> None:
    name, parent = IfName("it"), Link(name=IfName("eth0"), options=Dummy())
    links = [Link(name=name, options=kind(**{option: x}), parent=parent.name) for x in (one, other)]
    first, second, *_ = diff(HostState.of([parent, links[0]]), HostState.of([parent, links[1]])).changes
    said = " ".join(links[1].options.arguments(links[0].options))
    assert (first.action, second.action[:6]) == (f"is made anew: {said} cannot change in place", "create")


def test_a_vlan_on_another_link_is_made_anew() -> None:
    parents = [Link(name=IfName(x), options=Dummy()) for x in ("eth0", "eth1")]
    first, second = (
        HostState.of([*parents, Link(name=IfName("v"), options=Vlan(id=7), parent=x.name)]) for x in parents
    )
    assert diff(first, second).changes[0].action == "is made anew: its parent cannot change in place"
