"""What the host's own files said of its links, and neither the site file nor the kernel knows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from bascule.model.dhcp.offers import NOTHING
from bascule.model.host_links import LISTENING
from bascule.model.state import HostState
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.parsed import Hardware


def with_own_words(config: NetworkConfig, before: NetworkConfig, state: HostState, hardware: Hardware) -> NetworkConfig:
    """The same configuration with them, where nobody says otherwise.

    Name servers, the rank and privacy of addresses that the host asks for, and what of a lease it does not use: a
    bridge takes over those of the links below it, as it does with their traffic. Of a NIC itself what ties its name to
    its hardware, if it is that one; of any link its MTU, where it has that in ``state``, which the change leads to, and
    what wakes the machine by it.
    """
    ports = config.ports()
    links = []
    for link in config.links.values():
        below = [name for port in ports.get(link.name, ()) for name in (port, *ports.get(port, ()))]
        known = [before.links[name] for name in (link.name, *below) if name in before.links]
        kept = _as_it_was(link, before.links.get(link.name), state, hardware)
        links.append(_as_it_spoke(kept, known) if link.addresses or link.dhcp4 else kept)
    return config.with_links(links)


def with_words_of_udev(config: NetworkConfig, udev: NetworkConfig) -> NetworkConfig:
    """The configuration as it comes out where .link files of others stay: they say what it leaves open of a NIC."""
    links = []
    for link in config.links.values():
        said = udev.links.get(link.name)
        if said is None or link.options.kind:
            links.append(link)
            continue
        is_open = link.pin_mac is None and link.pin_path is None
        links.append(
            replace(
                link,
                pin_mac=said.pin_mac if is_open else link.pin_mac,
                pin_path=said.pin_path if is_open else link.pin_path,
                mtu=said.mtu if link.mtu is None else link.mtu,
                wol=said.wol if link.wol is None else link.wol,
            )
        )
    return config.with_links(links)


def _as_it_was(link: LinkConfig, before: LinkConfig | None, state: HostState, hardware: Hardware) -> LinkConfig:
    if before is None:
        return link
    now = state.links.get(link.name)
    found = {
        "mtu": before.mtu if link.mtu is None and now is not None and now.mtu == before.mtu else link.mtu,
        "wol": before.wol if link.wol is None else link.wol,
    }
    if link.options.kind or link.pin_mac is not None or link.pin_path is not None:
        return replace(link, **found)
    is_that = before.pin_mac is not None and before.pin_mac == hardware.get(link.name)
    return replace(link, **found, pin_mac=before.pin_mac if is_that else None, pin_path=before.pin_path)


def _as_it_spoke(link: LinkConfig, known: Sequence[LinkConfig]) -> LinkConfig:
    dns = link.dns or next((one.dns for one in known if one.dns), ())
    v4, v6 = link.split()
    speaks = {False: bool(v4 or link.dhcp4), True: bool(v6) or link.ipv6 in LISTENING}
    privacy = next((one.ipv6_privacy for one in known if one.ipv6_privacy is not None), None)
    unused = next((one.unused for one in known if one.unused), NOTHING)
    metric = next((one.metric for one in known if one.dhcp4 and one.metric is not None), None)
    return replace(
        link,
        dns=tuple(server for server in dns if server in link.dns or speaks[":" in server]),
        search=link.search or next((one.search for one in known if one.search), ()),
        unused=link.unused or unused,
        metric=metric if link.metric is None and link.dhcp4 else link.metric,
        ipv6_privacy=privacy if link.ipv6_privacy is None and link.ipv6 in LISTENING else link.ipv6_privacy,
    )
