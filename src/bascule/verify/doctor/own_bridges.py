"""Which bridges of a host an administrator put guests on, and which another program keeps for itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bascule.model.domain import LibvirtNetwork
from bascule.model.links import Bridge
from bascule.model.ruleset.owners import owner
from bascule.model.state import HostState
from bascule.topology.foreign_links import is_bridge_of_program
from bascule.topology.trace.rules.lines import Decision, Rules
from bascule.topology.trace.rules.naming import NamingRule, rules_naming

KEEPERS = {
    *("Docker", "libvirt", "Incus", "LXD", "LXC", "Podman", "a CNI plugin", "Kubernetes", "Flannel", "Calico"),
    *("Cilium", "Weave", "NetworkManager"),
}
LEFT_TO_OTHERS = {"DOCKER-USER", "CNI-ADMIN", "NETAVARK-ADMIN"}  # chains of theirs in which the administrator's stand


def own_bridges(state: HostState, rules: Rules, networks: Collection[LibvirtNetwork] = ()) -> Iterator[str]:
    """The bridges that no program keeps: by their names, by the rules that name them, by libvirt's networks."""
    libvirts = {one.bridge for one in networks if one.mode != "bridge"}
    for link in state.links.values():
        name = str(link.name)
        if not isinstance(link.options, Bridge) or is_bridge_of_program(name) or name in libvirts:
            continue
        if not any(_keeper(one) in KEEPERS for one in rules_naming(rules, name)):
            yield name


def _keeper(found: NamingRule) -> str:
    if found.except_it or found.chain.name in LEFT_TO_OTHERS:
        return ""
    targets = [part.target for part in found.line.parts if isinstance(part, Decision) and part.target]
    return owner(found.chain.table, found.chain.name, found.line.comment, targets)
