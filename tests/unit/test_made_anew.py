"""A link that cannot change in place: what is told anew of it, and what the kernel begins it with anyway."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.kernel_parameters import conf, neigh
from bascule.model.links import Bridge, OpenVSwitch
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.providers.kernel.diff import steps


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
