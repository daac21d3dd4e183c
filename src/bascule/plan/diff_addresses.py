"""How a link's addresses change."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.state import Address, Link
from bascule.plan.change import Risk
from bascule.plan.step import Phase, Step, ip, step


def address_steps(old: Link, new: Link) -> Iterator[Step]:
    """New addresses early, old ones late; an address that only changes its flags is replaced in place."""
    kept = set(old.addresses)  # remaining lifetimes do not take part in comparison
    for address in new.addresses:
        if address not in kept:
            words = f"address {address.ip}"
            yield step(Phase.ADDRESS, new.name, words, ip(*_address_words("replace", new.name, address)))
    ips = {address.ip for address in new.addresses}
    for address in old.addresses:
        if address.ip not in ips:
            yield step(
                Phase.OLD_ADDRESS,
                new.name,
                f"no longer {address.ip}",
                ip("address", "del", address.ip, *(("peer", address.peer) if address.peer else ()), "dev", new.name),
                risk=Risk.CHANGES if not address.is_link_local else Risk.ADDITION,
                undeclared=bool(new.addresses),
            )


def _address_words(verb: str, name: str, address: Address) -> list[str]:
    words = ["address", verb, address.ip]
    for key, value in (("peer", address.peer), ("broadcast", address.broadcast), ("label", address.label)):
        words += [key, value] if value else []
    words += ["dev", name]
    if address.scope != "global":
        words += ["scope", address.scope]
    if address.metric:
        words += ["metric", str(address.metric)]
    words += [flag for flag in address.flags if flag in {"noprefixroute", "nodad", "home", "mngtmpaddr", "autojoin"}]
    if address.valid_s is not None:
        words += ["valid_lft", str(address.valid_s), "preferred_lft", str(address.preferred_s or 0)]
    return words
