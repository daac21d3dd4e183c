"""Values are what their classes say: to inspect, to copy, to send to another process, to match."""

from __future__ import annotations

import copy
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from msgspec import Struct

import bascule
from bascule import api
from bascule.model.links import Bridge, Physical
from bascule.model.site import Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.providers.ovs import OVS
from bascule.providers.ovs.state import SwitchState
from bascule.site import parse

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
LATER = {  # what a field is, is not imported with them
    "Report",  # shows what verify found, which is above it
    "Checkpoint",  # no plan needs what keeps and puts back its files
    "Persister",  # where nothing is kept, no dialect is imported
    "BackendChoice",  # real guests bring much with them
    "Files",  # pure, and names paths
}


def structs() -> Iterator[type[Struct]]:
    for module in pkgutil.walk_packages(bascule.__path__, "bascule."):
        if not module.name.endswith("__main__"):
            for one in vars(import_module(module.name)).values():
                if inspect.isclass(one) and issubclass(one, Struct) and one.__module__ == module.name:
                    yield one


def test_the_signature_of_every_value_names_its_fields() -> None:
    found = {one: one for one in structs() if one.__name__ not in LATER}
    assert len(found) > 400
    for one in found:
        assert sorted(inspect.signature(one).parameters) == sorted(one.__struct_fields__), one


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_site_and_its_plan_are_copied_and_sent(path: Path) -> None:
    site = parse(path.read_bytes(), str(path))
    name = next(iter(site.hosts))
    links = [Link(name=IfName(nic), options=Physical(), up=True) for nic in site.hosts[name].nics]
    observed = HostState.of(links)
    observed = OVS.with_part(observed, SwitchState(socket="/run/openvswitch/db.sock"))
    plan = api.plan(site, host=name, observed=observed)
    for value in (site, plan.wanted, plan.plan):
        for other in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert other == value
            assert type(other) is type(value)
    copied: HostState = pickle.loads(pickle.dumps(plan.wanted))
    with pytest.raises(TypeError):
        copied.links[IfName("eth0")] = links[0]  # type: ignore[index]
    with pytest.raises(AttributeError):
        site.name = "other"  # type: ignore[misc]


def test_values_are_matched_by_their_fields() -> None:
    match Link(name=IfName("br0"), options=Bridge(stp_state=1)):
        case Link(name="br0", options=Bridge(stp_state=stp)):
            assert stp == 1
        case _:
            pytest.fail("a bridge is a link")
    assert isinstance(api.load(EXAMPLES[0]), Site)
