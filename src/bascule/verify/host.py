"""All checks of a host: what must be so, read from its state and asked with real frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.kernel_parameters import FORWARDING
from bascule.model.site import Host, Site, virtual_segment
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, IpAddress
from bascule.observe.firewall import read_firewall
from bascule.plan.change import Plan
from bascule.plan.virtual_network import ResolvedNetwork, needs_server, resolved_networks, sysctls
from bascule.policy.network_rules import network_table, table_key
from bascule.probe.domain import ProbeDomain
from bascule.probe.names import look_up
from bascule.topology.virtual_networks import existing_bridge
from bascule.verify.checks import Check
from bascule.verify.doctor.firewall.all_looks import check_firewall
from bascule.verify.endpoints import Endpoints
from bascule.verify.guests import check_guests
from bascule.verify.power import NONE_OFF, GuestsOff
from bascule.verify.state import StateChecks, bridge_up, check_links, has_address, tap_on_bridge
from bascule.verify.wire.mirrors import check_mirrors
from bascule.verify.wire.routing import check_routing


def check_host(
    site: Site,
    host: Host,
    state: HostState,
    probe_domain: ProbeDomain,
    plan: Plan,
    off: GuestsOff = NONE_OFF,
) -> tuple[Check, ...]:
    """All checks of one host: its state held against ``plan``, which is made from it, then each guest with real frames.

    ``off`` are the guests that do not run, of which nothing is asked. Raises NotPermitted, MissingTool or CommandFailed
    where the host cannot be read or asked.
    """
    return (
        *check_state(site, host, state, plan, off),
        *_firewall(site, host, state, probe_domain),
        *check_servers(site, host, state, probe_domain),
        *check_guests(site, host, state, probe_domain, off),
        *check_mirrors(site, host, probe_domain, off),
        *check_routing(site, host, state, probe_domain, Endpoints(site, probe_domain)),
    )


def check_state(site: Site, host: Host, state: HostState, plan: Plan, off: GuestsOff = NONE_OFF) -> tuple[Check, ...]:
    """The half that needs no frames: a host's state held against ``plan``, which is made from it."""
    facts = StateChecks(plan, off)
    half = (*check_links(site, host, state, facts), *check_networks(site, host, state, facts))
    return (*half, *facts.rest())


def _firewall(site: Site, host: Host, state: HostState, probe_domain: ProbeDomain) -> tuple[Check, ...]:
    """Others' rules on the way of its guests' frames."""
    with probe_domain.hosts[host.name].entered():
        network = read_firewall(state)
    return tuple(check_firewall(site, host, network)) if network.rules.filters else ()


NameQuery = tuple[str, int]  # a name, and the IP version of the address that is wanted
DNS_S = 1.0  # to wait for the server: it is on this host


def check_networks(site: Site, host: Host, state: HostState, facts: StateChecks) -> Iterator[Check]:
    """The bridge, addresses, rules and routing of every virtual network. Pure."""
    for one in resolved_networks(site, host):
        link = existing_bridge(host.virtual_networks[one.name], state)
        name = link.name if link else one.bridge
        yield bridge_up(name, link, facts)
        if link is None:
            continue
        for address in one.addresses:
            yield has_address(name, str(address), link, facts)
        if link.is_ours or one.forwards:  # libvirt knows no forwards, so these stand in our table beside it
            yield _rules(one, link, state, facts)
        else:
            detail = "not Bascule's bridge: its rules are for whoever made it"
            yield Check(id="rules", subject=name, ok=None, detail=detail)
        if wanted := sysctls(one):
            yield _forwarding(name, [key for key in FORWARDING.values() if key in wanted], facts)
        for nic in site.guest_nics(host.name):
            if nic.virtual_network == one.name:
                yield tap_on_bridge(nic, name, state.links.get(nic.tap), facts)


def check_servers(site: Site, host: Host, state: HostState, probe_domain: ProbeDomain) -> Iterator[Check]:
    """The name server of every virtual network that has one, by asking it. Raises NotPermitted where one cannot ask."""
    for one in resolved_networks(site, host):
        link = existing_bridge(host.virtual_networks[one.name], state)
        if needs_server(one) and one.addresses and link is not None:
            yield from _check_server(host, one, link.name, probe_domain)


def _rules(one: ResolvedNetwork, link: Link, state: HostState, facts: StateChecks) -> Check:
    name = table_key(one.name)
    none = "none" if network_table(one, "") is None else f"nft {name} is not there"
    seen = f"nft {name}" if name in state.tables else none
    return facts.check("rules", link.name, f"{seen}, as mode {one.mode} has it", "ruleset", of=f"nft {name}")


def _forwarding(name: str, keys: list[str], facts: StateChecks) -> Check:
    words = {key: f"IPv{version}" for version, key in FORWARDING.items()}
    checks = [facts.check("forwarding", name, words[key], "parameter", of=key) for key in keys]
    checks.append(facts.check("forwarding", name, "its own switch", "parameter", words="forward "))
    off = [check.detail for check in checks if not check.ok]
    detail = f"{' and '.join(words[key] for key in keys)} routed" if not off else "; ".join(off)
    return Check(id="forwarding", subject=name, ok=not off, detail=detail)


def _check_server(host: Host, one: ResolvedNetwork, bridge: IfName, probe_domain: ProbeDomain) -> Iterator[Check]:
    """A guest asks where we can ask from one, else the host itself does."""
    server = one.addresses[0].ip
    segment = virtual_segment(host.name, one.name)
    others = [attachment for name, some in probe_domain.attachments.items() if name != host.name for attachment in some]
    attachments = [attachment for attachment in others if attachment.network == segment and attachment.agent is None]
    attachments += [
        attachment for attachment in probe_domain.attachments.get(host.name, ()) if attachment.link == bridge
    ]
    asker = next(
        (attachment for attachment in attachments if any(a.version == server.version for a in attachment.addresses)),
        None,
    )
    if asker is None:
        detail = "not asked, because nobody on it can be asked from"
        yield Check(id="name-server", subject=bridge, ok=None, detail=detail)
        return
    # a name of its own: others it may have to ask somebody for
    wanted: dict[NameQuery, IpAddress] = {
        (f"{name}.{one.name}", address.version): address for name, address in one.names
    }
    asked = wanted or {(f"{host.name}.{one.name}", server.version): server}
    found = look_up(asker.namespace, server, asked, timeout_s=DNS_S)
    detail = f"{server} answers {asker.endpoint}" if found else f"{server} does not answer {asker.endpoint}"
    yield Check(id="name-server", subject=bridge, ok=bool(found), detail=detail)
    if found and wanted:
        yield _names(bridge, wanted, found)


def _names(
    bridge: IfName, wanted: Mapping[NameQuery, IpAddress], found: Mapping[NameQuery, tuple[IpAddress, ...]]
) -> Check:
    wrong = [
        f"{key[0]} is {', '.join(map(str, found.get(key, ()))) or 'not known'}, not {address}"
        for key, address in wanted.items()
        if address not in found.get(key, ())
    ]
    detail = "; ".join(wrong) or ", ".join(f"{name} is {address}" for (name, _), address in wanted.items())
    return Check(id="names", subject=bridge, ok=not wrong, detail=detail)
