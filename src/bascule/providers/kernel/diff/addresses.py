"""How a link's addresses change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_interface

from msgspec.structs import replace

from bascule.model.state import Address, Link
from bascule.plan.address_migration import set_anew
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step

DEFAULT_METRIC = 256  # of a route to an IPv6 prefix (IP6_RT_PRIO_ADDRCONF)
_Subnet = tuple[str, str]  # the scope and the network
LONGEST_S = 0xFFFFFFFE  # the most that has an end (INFINITY_LIFE_TIME of net/addrconf.h is one more)


def address_steps(
    old: Link,
    new: Link,
    elsewhere: Collection[str] = (),
    *,
    fresh: Phase = Phase.ADDRESS,
    stale: Phase = Phase.OLD_ADDRESS,
) -> Iterator[Step]:
    """New addresses early, old ones late; an address that only changes its flags is replaced in place.

    ``elsewhere`` are the addresses of the host's links before the change: what moves from one link to another was
    ours all the time, and need not wait a second for duplicate address detection (RFC 4862) before it is used.
    ``fresh`` and ``stale`` are when new addresses come and old ones go.
    """
    kept = set(old.addresses)  # remaining lifetimes do not take part in comparison
    had = {address.ip for address in old.addresses}
    ips = {address.ip for address in new.addresses}
    longer = _other_lengths(old, new)
    again, ahead = out_of_order(old, new), set_anew(old, new)
    if again:
        commands = [_delete(new.name, a) for a in reversed(old.addresses) if a.ip in again]
        commands += [ip(*_address_words(new.name, a)) for a in new.addresses if a.ip in again]
        gone, stay = (", ".join(ip for ip in again if (ip in ips) is there) for there in (False, True))
        action = f"remove address {gone}, then set {stay} anew" if gone else f"addresses {stay} in order"
        yield step(fresh, new.name, action, *commands, risk=Risk.CHANGES, about="addresses")
    for address in _first_first(new.addresses):
        raised = new.up and not old.up and address.is_ipv6 and not address.is_link_local
        if (address in kept and not raised and address.ip not in ahead) or address.ip in again:
            continue  # of a link that was down, the kernel knows no route to a leased address's prefix
        commands = [ip(*_address_words(new.name, address))]
        goes = longer.get(address.ip) or (address if address.ip in ahead else None)
        is_ours = address.ip in elsewhere or goes is not None
        is_new = address.ip not in had or goes is not None
        if address.is_ipv6 and is_new and is_ours and "nodad" not in address.flags:
            at_once = replace(address, flags=(*address.flags, "nodad"))
            commands.insert(0, ip(*_address_words(new.name, at_once)))
        if _gets_an_end(old, address):
            # Linux gives the prefix's route an end in the past, and soon drops it; the second time it is right
            commands *= 2
        commands[:0] = [_delete(new.name, goes)] if goes is not None else []
        how = "" if goes is None else " anew, to lead again" if goes is address else f" instead of {goes.ip}"
        action = f"address {address.ip}{how or _no_longer_ends(old, address)}"
        risk = Risk.CHANGES if goes is not None else Risk.ADDITION
        yield step(fresh, new.name, action, *commands, risk=risk, about="addresses")
    if old.facts.temporaries and not any(a.is_ipv6 and not a.is_link_local for a in new.addresses):
        words = ("address", "flush", "dev", new.name, "temporary")  # they change by the hour: whichever there are then
        yield step(stale, new.name, "remove its temporary addresses", Command("ip -6", words), about="addresses")
    for address in _last_first(old.addresses):
        stays = address.ip in ips or address.ip in again or address in longer.values()
        if stays or (address.is_link_local and new.addrgenmode != "none"):
            continue  # the kernel would make its own link-local address again
        yield step(
            stale,
            new.name,
            f"remove address {address.ip}",
            _delete(new.name, address),
            risk=Risk.CHANGES if not address.is_link_local else Risk.ADDITION,
            about="addresses",
        )
    yield from _prefix_steps(old, new, stale)


def _prefix_steps(old: Link, new: Link, stale: Phase) -> Iterator[Step]:
    """The routes to prefixes that the kernel leaves behind when addresses go."""
    if prefixes := _stale_prefixes(old, new):
        # the kernel leaves a leased prefix behind, and would look for neighbours where the address no longer is
        commands = [_flush(new.name, *prefix) for prefix in prefixes]
        yield step(stale, new.name, "remove the advertised prefixes", *commands, about="addresses")
    for prefix, metric in _left_behind(old, new):
        command = _flush(new.name, prefix, "metric", str(metric))
        yield step(stale, new.name, f"remove the route {prefix} of metric {metric}", command, about="addresses")


def _first_first(addresses: Sequence[Address]) -> list[Address]:
    """In the order in which they come, so that the first of each family is the one that the host speaks with.

    The kernel lists an IPv6 address before those that were there, and takes the first that is as good as any other
    (RFC 6724 leaves it to the host).
    """
    six = [one for one in addresses if one.is_ipv6]
    return [*(one for one in addresses if not one.is_ipv6), *reversed(six)]


def _last_first(addresses: Sequence[Address]) -> list[Address]:
    """In the order in which they can go: the kernel deletes an IPv4 subnet's other addresses with its first one.

    Of IPv6 it leaves the route to a prefix behind while an address without one (noprefixroute) is in it.
    """
    bare = [one for one in addresses if one.is_ipv6 and "noprefixroute" in one.flags]
    return [*bare, *(one for one in reversed(addresses) if one not in bare)]


def _no_longer_ends(old: Link, address: Address) -> str:
    had_an_end = any(one.ip == address.ip and one.dynamic for one in old.addresses)
    return ", which does not end any more" if had_an_end and not address.dynamic else ""


def _gets_an_end(old: Link, address: Address) -> bool:
    """Whether an IPv6 address of the link that was to stay for ever gets a lifetime."""
    forever = any(one.ip == address.ip and one.lifetime.valid_s is None for one in old.addresses)
    return address.is_ipv6 and forever and address.lifetime.valid_s is not None


def _other_lengths(old: Link, new: Link) -> dict[str, Address]:
    """IPv6 addresses that get another prefix length, with what they are now: the kernel has each address once."""
    ips = {address.ip for address in new.addresses}
    gone = {a.local: a for a in old.addresses if a.is_ipv6 and a.ip not in ips}
    had = {address.ip for address in old.addresses}
    return {ip: gone[ip.partition("/")[0]] for ip in ips - had if ip.partition("/")[0] in gone}


def _stale_prefixes(old: Link, new: Link) -> list[tuple[str, ...]]:
    """The prefixes of leased IPv6 addresses that go; an empty one stands for all of a link that falls silent."""
    left = {str(ip_interface(a.ip).network) for a in new.addresses if a.is_ipv6}
    gone = {str(ip_interface(a.ip).network) for a in old.addresses if a.dynamic and a.is_ipv6} - left
    return [()] if gone and not left else [(prefix,) for prefix in sorted(gone)]


def _left_behind(old: Link, new: Link) -> list[tuple[str, int]]:
    """The routes to IPv6 prefixes, with their metrics, that the kernel keeps when their addresses go.

    It keeps the route of an address while any other one is in its prefix, even one that has a route of another metric
    or none (check_cleanup_prefix_route() in net/ipv6/addrconf.c).
    """
    before, after = _prefix_metrics(old), _prefix_metrics(new)
    found: list[tuple[str, int]] = []
    for prefix, metrics in before.items():
        left = {metric for metric in metrics - after.get(prefix, set()) if metric}
        if left and (prefix in after or len(left) > 1):
            found += [(prefix, metric) for metric in sorted(left)]
    return found


def _prefix_metrics(link: Link) -> dict[str, set[int]]:
    """The metrics of the routes that addresses make to their IPv6 prefixes, 0 of those that make none."""
    found: dict[str, set[int]] = {}
    for one in link.addresses:
        if one.is_ipv6 and not one.is_link_local and not one.peer:
            metric = 0 if "noprefixroute" in one.flags else one.metric or DEFAULT_METRIC
            found.setdefault(str(ip_interface(one.ip).network), set()).add(metric)
    return found


def _flush(name: str, *which: str) -> Command:
    return Command("ip -6", ("route", "flush", *which, "dev", name, "proto", "kernel"))


def _delete(name: str, address: Address) -> Command:
    return ip("address", "del", address.ip, *(("peer", address.peer) if address.peer else ()), "dev", name)


def out_of_order(old: Link, new: Link) -> tuple[str, ...]:
    """The IPv4 addresses that must be set anew, because another one becomes the first of their subnet, or of the link.

    The first is the one that the host speaks with, and the others go when it goes (unless promote_secondaries is
    set). So where adding and deleting alone would not end in the wanted order, all of the subnet's are set anew, and
    with them the subnets that come behind it.
    """
    before, after = _subnets(old), _subnets(new)
    anew = {
        subnet
        for subnet, wanted in after.items()
        if (seen := before.get(subnet, []))
        and (seen[0] not in wanted or [x for x in seen if x in wanted] != wanted[: len(set(seen) & set(wanted))])
    }
    anew |= _to_the_end(before, after, anew)
    found = [[*after[key], *(x for x in before[key] if x not in after[key])] for key in after if key in anew]
    return tuple(ip for ips in found for ip in ips)


def _to_the_end(before: Collection[_Subnet], after: Collection[_Subnet], anew: Collection[_Subnet]) -> set[_Subnet]:
    """The subnets that must be set anew to come behind others: the kernel puts a new one behind those of its scope."""
    found = set()
    for scope in {scope for scope, _ in after}:
        there, stays = iter([subnet for subnet in before if subnet[0] == scope]), True
        for subnet in after:
            if subnet[0] == scope:
                stays = stays and subnet not in anew and subnet in there
                found |= {subnet} if not stays and subnet in before else set()
    return found


def _subnets(link: Link) -> dict[_Subnet, list[str]]:
    """The IPv4 addresses of each subnet, in order."""
    found: dict[_Subnet, list[str]] = {}
    for address in link.addresses:
        if not address.is_ipv6 and not address.peer:
            found.setdefault((address.scope, str(ip_interface(address.ip).network)), []).append(address.ip)
    return found


def _address_words(name: str, address: Address) -> list[str]:
    words = ["address", "replace", address.ip]
    for key, value in (("peer", address.peer), ("broadcast", address.broadcast), ("label", address.label)):
        words += [key, value] if value else []
    words += ["dev", name]
    if address.scope != "global":
        words += ["scope", address.scope]
    if address.metric:
        words += ["metric", str(address.metric)]
    words += [flag for flag in address.flags if flag in {"noprefixroute", "nodad", "home", "mngtmpaddr", "autojoin"}]
    valid_s, preferred_s = address.lifetime.valid_s, address.lifetime.preferred_s
    if address.dynamic and valid_s is None:  # "forever" would make it one that no router can take back
        valid_s, preferred_s = LONGEST_S, LONGEST_S if preferred_s is None else preferred_s
    if (valid_s, preferred_s) != (None, None):  # one that lasts may be deprecated: the host sends from others then
        words += ["valid_lft", "forever" if valid_s is None else str(valid_s), "preferred_lft", str(preferred_s or 0)]
    return words
