"""The checks of a host's virtual networks: bridge, addresses, rules, routing by its state, the server by asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.site import Host, Site, virtual_segment
from bascule.model.state import FORWARDING, HostState, Link
from bascule.model.values import IfName, IpAddress
from bascule.plan.target_networks import standing_bridge
from bascule.plan.virtual_network import TABLE_PREFIX, Realm, needs_server, realms, sysctls, tables
from bascule.probe.names import look_up
from bascule.probe.world import World
from bascule.verify.checks import Check, has_address, is_member, is_up

Asked = tuple[str, int]  # a name, and the IP version of the address that is wanted
DNS_S = 1.0  # to wait for the server: it is on this host


def check_networks(site: Site, host: Host, state: HostState, world: World) -> Iterator[Check]:
    """Every virtual network of a host. Raises NotPermitted where nothing can be asked."""
    own = realms(site, host)
    for one in own:
        yield from check_network(site, host, one, state)
        link = standing_bridge(host.virtual_networks[one.name], state)
        if needs_server(one) and one.addresses and link is not None:
            yield from _check_server(host, one, link.name, world)


def check_network(site: Site, host: Host, one: Realm, state: HostState) -> Iterator[Check]:
    """What the state alone says of one. Pure."""
    link = standing_bridge(host.virtual_networks[one.name], state)
    yield is_up("bridge-up", link.name if link else one.bridge, link)
    if link is None:
        return
    for address in one.addresses:
        yield has_address(link.name, address, link)
    if link.is_ours or one.forwards:  # libvirt knows no forwards, so these stand in our table beside it
        yield _rules(one, link, state)
    else:
        detail = "not Bascule's bridge: its rules are for whoever made it"
        yield Check(id="rules", subject=link.name, ok=None, detail=detail)
    if wanted := sysctls(one):
        off = [key for key in wanted if state.sysctls.get(key) != "1"]
        words = {key: f"IPv{version}" for version, key in FORWARDING.items()}
        detail = f"{' and '.join(words[key] for key in off or wanted)} {'not ' if off else ''}routed"
        yield Check(id="forwarding", subject=link.name, ok=not off, detail=detail)
    for nic in site.guest_nics(host.name):
        if nic.virtual_network == one.name:
            yield is_member("tap", nic.tap, link.name, state.links.get(nic.tap))


def _rules(one: Realm, link: Link, state: HostState) -> Check:
    name = TABLE_PREFIX + one.name
    wanted, seen = tables(one).get(name), state.tables.get(name)
    if wanted is None:
        detail = f"none, as mode {one.mode} has it" if seen is None else f"nft {name} is there, but is not wanted"
    elif seen is None:
        detail = f"nft {name} is not there"
    else:
        same = wanted == seen
        detail = f"nft {name}, as mode {one.mode} has it" if same else f"nft {name} is another one than the file says"
    return Check(id="rules", subject=link.name, ok=wanted == seen, detail=detail)


def _check_server(host: Host, one: Realm, bridge: IfName, world: World) -> Iterator[Check]:
    """A guest asks where we can ask from one, else the host itself does."""
    server = one.addresses[0].ip
    segment = virtual_segment(host.name, one.name)
    others = [foot for name, some in world.feet.items() if name != host.name for foot in some]
    feet = [foot for foot in others if foot.network == segment and foot.voice is None]
    feet += [foot for foot in world.feet.get(host.name, ()) if foot.link == bridge]
    asker = next((foot for foot in feet if any(a.version == server.version for a in foot.addresses)), None)
    if asker is None:
        detail = "not asked, because nobody on it can be asked from"
        yield Check(id="name-server", subject=bridge, ok=None, detail=detail)
        return
    # a name of its own: others it may have to ask somebody for
    wanted: dict[Asked, IpAddress] = {(f"{name}.{one.name}", address.version): address for name, address in one.names}
    asked = wanted or {(f"{host.name}.{one.name}", server.version): server}
    found = look_up(asker.namespace, server, asked, timeout_s=DNS_S)
    detail = f"{server} answers {asker.endpoint}" if found else f"{server} does not answer {asker.endpoint}"
    yield Check(id="name-server", subject=bridge, ok=bool(found), detail=detail)
    if found and wanted:
        yield _names(bridge, wanted, found)


def _names(bridge: IfName, wanted: Mapping[Asked, IpAddress], found: Mapping[Asked, tuple[IpAddress, ...]]) -> Check:
    wrong = [
        f"{key[0]} is {', '.join(map(str, found.get(key, ()))) or 'not known'}, not {address}"
        for key, address in wanted.items()
        if address not in found.get(key, ())
    ]
    detail = "; ".join(wrong) or ", ".join(f"{name} is {address}" for (name, _), address in wanted.items())
    return Check(id="names", subject=bridge, ok=not wrong, detail=detail)
