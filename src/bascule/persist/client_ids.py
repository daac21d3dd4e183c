"""Who each link is to its DHCP server after a change: a lease goes on only under the identifier it was given to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig

Leased = Callable[[IfName], ClientId | None]  # who a link is to its server at this moment, where it has a lease


def client_ids(config: NetworkConfig, before: NetworkConfig, leased: Leased) -> dict[IfName, ClientId | None]:
    """The identifiers that the links of ``config`` must have to keep the leases that they get or have.

    ``before`` is what the files said until now. A link that asked by DHCP before stays what its files say. One that
    begins to takes the identifier that is its own already, else that of the link whose lease goes over to it: of a
    port below, or of the bridge that was above.
    """
    found: dict[IfName, ClientId | None] = {}
    for name in config.links:
        known = before.links.get(name)
        if not config.links[name].dhcp4:
            continue
        if known is not None and known.dhcp4:
            found[name] = known.client_id
        else:
            said = (_present_id(source, before, leased) for source in _sources(name, config, before))
            found[name] = next((each for each in said if each is not None), None)
    return found


def with_client_ids(config: NetworkConfig, ids: Mapping[IfName, ClientId | None]) -> NetworkConfig:
    """The same configuration with these identifiers."""
    if not any(ids.values()):
        return config
    links = (replace(link, client_id=ids.get(name)) for name, link in config.links.items())
    return config.with_links(links)


def _present_id(name: IfName, before: NetworkConfig, leased: Leased) -> ClientId | None:
    known = before.links.get(name)
    return leased(name) or (known.client_id if known is not None else None)


def _sources(name: IfName, config: NetworkConfig, before: NetworkConfig) -> Iterator[IfName]:
    """Where its lease may come from: links that ask no more. A VLAN is another network than the link below it."""
    yield name
    ports, waiting = config.ports(), [name]
    while waiting:
        below = ports.get(waiting.pop(0), [])
        waiting += below
        yield from (port for port in below if not config.links[port].dhcp4)
    known = before.links.get(name)
    master = known.master if known is not None else None
    if master is not None and not (master in config.links and config.links[master].dhcp4):
        yield master
