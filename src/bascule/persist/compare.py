"""In words, what two configurations of one link differ by."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.config import LinkConfig


def differences(name: str, have: LinkConfig, say: LinkConfig, here: str, there: str) -> Iterator[str]:
    """In words, what two configurations of one link differ by; ``here`` and ``there`` say where each stands."""
    if have.options.kind != say.options.kind:
        yield f"{name}: a {have.options.kind or 'NIC'} {here}, a {say.options.kind or 'NIC'} {there}"
    for word, mine, theirs in (
        ("master", have.master or "none", say.master or "none"),
        ("MTU", have.mtu or 1500, say.mtu or 1500),
        ("MAC", have.mac or say.mac, say.mac or have.mac),
        ("DHCP", "on" if have.dhcp4 else "off", "on" if say.dhcp4 else "off"),
    ):
        if mine != theirs:
            yield f"{name}: {word} is {mine} {here}, {theirs} {there}"
    if have.dhcp4 and say.dhcp4 and have.client_id != say.client_id:
        mine, theirs = (str(link.client_id or "left to the client") for link in (have, say))
        yield f"{name}: its DHCP client identifier is {mine} {here}, {theirs} {there}"
    if set(have.addresses) != set(say.addresses):
        mine, theirs = (", ".join(addresses) or "none" for addresses in (have.addresses, say.addresses))
        yield f"{name}: addresses are {mine} {here}, {theirs} {there}"
    seen, told = ({(r.dst, r.gateway) for r in link.routes} for link in (have, say))
    for dst, gateway in sorted(seen ^ told):
        where = (here, there) if (dst, gateway) in seen else (there, here)
        yield f"{name}: the route to {dst} via {gateway or 'the link'} is {where[0]}, not {where[1]}"
