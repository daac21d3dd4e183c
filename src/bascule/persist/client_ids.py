"""Who each link is to its DHCP server after a change: a lease goes on only under the identifier it was given to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig, replace_fields


def with_client_ids(config: NetworkConfig, before: NetworkConfig, leased: Mapping[IfName, ClientId]) -> NetworkConfig:
    """``config`` with the identifiers that its links must have to keep the leases that they get or have.

    ``before`` is what the files said until now, ``leased`` says who each link is to its server at this moment. A link
    that asked by DHCP before stays what its files say. One that begins to takes the identifier that is its own
    already, else that of the link whose lease goes over to it: of a port below, or of the bridge that was above.
    """
    links = []
    for name, link in config.links.items():
        known = before.links.get(name)
        if not link.dhcp4:
            links.append(link)
        elif known is not None and known.dhcp4:
            links.append(replace_fields(link, client_id=known.client_id))
        else:
            said = (_now(source, before, leased) for source in _sources(name, config, before))
            links.append(replace_fields(link, client_id=next((each for each in said if each is not None), None)))
    return NetworkConfig.of(links, config.unmanaged)


def _now(name: IfName, before: NetworkConfig, leased: Mapping[IfName, ClientId]) -> ClientId | None:
    known = before.links.get(name)
    return leased.get(name) or (known.client_id if known is not None else None)


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
