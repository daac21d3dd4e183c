"""Further addresses that are asked for beside one: whoever answers for all of them answers for every address."""

from __future__ import annotations

from bascule.model.values import IpAddress, IpInterface

PARTS = (3, 5, 7)  # sixteenths of a subnet
LEAST = 16  # addresses of a subnet in which others can be asked for


def controls(address: IpInterface) -> tuple[IpAddress, ...]:
    """Others all over its subnet, of which nobody has all; none in a small one."""
    net = address.network
    if net.num_addresses < LEAST:
        return ()
    spread = (net[net.num_addresses * part // 16 + 1] for part in PARTS)
    return tuple(other for other in spread if other != address.ip)
