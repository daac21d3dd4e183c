"""The way back, as a state to go to: what a change of ours altered is put back, what other hands altered stays.

Three states decide, facet by facet: ``before`` the change, right ``after`` it, and ``now``. Where before and after
differ, the change (or the kernel, on its account) did it, and what was before comes back. Where only now differs, it
was somebody else, and that is kept and named. When the change was ended half-way there is no *after*; then whatever
is different on the links that the plan touches counts as ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.kernel_parameters import conf, first_value, link_of
from bascule.model.state import Address, FixedNeighbour, HostState, Link, Route, stood_on
from bascule.model.values import IfName
from bascule.model.volatile import Lifetime
from bascule.plan.address_migration import gone_back_to, in_places_of_their_own, newest_first, route_by, with_copies
from bascule.providers.kernel.kept_words import facet_words, left_beside, replaced_words, value_words
from bascule.providers.kernel.names_taken import without_taken
from bascule.providers.kernel.settling import as_taken, in_place, is_another, is_out_of_reach, mac_left, slot, way_with
from bascule.providers.merging import merge_mapping
from bascule.providers.protocol import Merged, ThreeWay

T = TypeVar("T")

FACETS = (
    "up", "mac", "mtu", "master", "parent", "addrgenmode", "alias", "altnames", "arp", "multicast", "group", "vlans",
)  # fmt: skip


def merge(change: ThreeWay) -> Merged:
    """The state to go back to, and what stays different from before because somebody else wanted it so."""
    change, taken = without_taken(change)
    found = _Merge(
        before=change.before, wanted=change.wanted, now=change.now, applied=change.applied,
        elapsed_s=change.elapsed_s, moved=change.moved, by_files=change.by_files,
    ).merge()  # fmt: skip
    kept = (taken.pop(line.partition(" is new")[0], line) for line in found.kept)
    return replace(found, kept=(*kept, *taken.values(), *left_beside(change, found.part)))


class _Merge(Struct, kw_only=True):
    before: HostState
    wanted: HostState
    now: HostState
    applied: HostState | None
    elapsed_s: float
    kept: list[str] = field(default_factory=list)
    moved: frozenset[str] = frozenset()
    by_files: Mapping[str, frozenset[str]] = {}
    touched: frozenset[str] = frozenset()
    successors: Mapping[str, IfName] = field(default_factory=dict)  # on which the host spoke instead
    now_ips: Mapping[str, Address] = field(default_factory=dict)  # on any link: a lease may have moved
    had: frozenset[str] = frozenset()  # what was on any link before the change, or was wanted there

    def merge(self) -> Merged:
        self.touched = self.moved | frozenset(self._touched() if self.applied is None else ())
        found = ((old.name, self._successor(old)) for old in self.before.links.values() if old.addresses)
        self.successors = {name: successor for name, successor in found if successor is not None}
        self.now_ips = {address.ip: address for link in self.now.links.values() for address in link.addresses}
        both = (link for state in (self.before, self.wanted) for link in state.links.values())
        self.had = frozenset(address.ip for link in both for address in link.addresses)
        links = dict(self._links())
        for name, below in stood_on(self.now.links.keys() - links.keys(), self.now.links).items():
            if name in links and name not in self.before.links:
                del links[name]
                self.kept = [line for line in self.kept if line.split(" is new")[0] != name]
                self.kept.append(f"{name} is new and built on {below}, and is removed with it")
        for name, link in links.items():
            if link.master is not None and link.master not in links:
                links[name] = replace(link, master=None, port=None, vlans=())
        sysctls = self._sysctls(links)
        rules = with_copies(self.before.rules, self.wanted.rules, self.now.rules)
        state = HostState(
            links={name: as_taken(link, sysctls) for name, link in links.items()},
            routes=tuple(in_places_of_their_own(self._routes(links), set(self.now.routes))),
            rules=tuple(self._set(self.before.rules, rules, self.now.rules, self._after().rules)),
            lost_rules=tuple(
                self._set(
                    *(x.lost_rules for x in (self.before, self.wanted, self.now, self._after())),
                    words=("is there again", "is gone"),
                )
            ),
            neighbours=tuple(self._neighbours(links)),
            sysctls=sysctls,
        )
        return Merged(part=state, kept=tuple(self.kept))

    def _after(self) -> HostState:
        return self.applied if self.applied is not None else self.wanted

    def _touched(self) -> Iterator[str]:
        """The links that the plan changes, and the masters that feel it."""
        for name in {*self.before.links, *self.wanted.links}:
            old, new = self.before.links.get(name), self.wanted.links.get(name)
            if old != new:
                yield name
                yield from (link.master for link in (old, new) if link is not None and link.master is not None)

    # ---- links

    def _links(self) -> Iterator[tuple[IfName, Link]]:
        for name in {**self.before.links, **self.now.links}:
            old, seen = self.before.links.get(name), self.now.links.get(name)
            if old is not None and seen is not None:
                yield name, self._link(old, seen)
            elif old is not None:
                if self._is_ours_to_restore(old):
                    back = (*self._with_time_left(name, old.addresses, self.now_ips), *self._came_meanwhile(old))
                    yield name, replace(old, addresses=newest_first(back, {a.ip for a in old.addresses}))
                else:
                    self.kept.append(f"{name} is gone")
            elif seen is not None and name not in self.wanted.links:
                if seen.master is not None and self._goes(seen.master):
                    self.kept.append(f"{name} is new and loses its bridge {seen.master}, which is removed")
                else:
                    self.kept.append(f"{name} is new" + (f", a port of {seen.master}" if seen.master else ""))
                yield name, seen
            elif seen is not None and is_another(self._after().links.get(name, self.wanted.links[name]), seen):
                self.kept.append(f"{name} is another link than the one that the change made, and stays")
                yield name, seen
            elif seen is not None:
                self._lost_with(seen)

    def _lost_with(self, link: Link) -> None:
        """Addresses that others put on a link that goes."""
        ours = {a.ip for state in (self.wanted, self._after()) for a in _addresses_of(state, link.name)}
        if link.name in self.successors.values():
            ours |= {address.ip for address in self._advertised_since(link.name)}
        theirs = (a.ip for a in link.addresses if a.ip not in ours and not a.is_link_local)
        self.kept += [f"{ip} was added to {link.name}, and is removed with it" for ip in theirs]

    def _goes(self, name: str) -> bool:
        return name not in self.before.links and name in self.wanted.links

    def _successor(self, old: Link) -> IfName | None:
        """A bridge that the change put over this link, or whoever got its addresses."""
        planned = self.wanted.links.get(old.name)
        if planned is not None and planned.master is not None and self._goes(planned.master):
            return planned.master
        left = {a.ip for a in old.addresses if not a.is_link_local} - {a.ip for a in getattr(planned, "addresses", ())}
        others = (link for link in self.wanted.links.values() if link.name != old.name) if left else ()
        return next((link.name for link in others if any(a.ip in left for a in link.addresses)), None)

    def _came_meanwhile(self, old: Link) -> Iterator[Address]:
        """What advertisements gave to the link instead of this one; the next may be minutes away."""
        if old.name in self.successors:
            yield from self._advertised_since(self.successors[old.name])

    def _advertised_since(self, name: str) -> Iterator[Address]:
        """IPv6 addresses that a router's advertisements gave to a link of ours since it took another one's place."""
        for address in _addresses_of(self.now, IfName(name)):
            own = address.is_link_local or "temporary" in address.flags
            if address.dynamic and address.is_ipv6 and address.ip not in self.had and not own:
                yield address

    def _is_ours_to_restore(self, link: Link) -> bool:
        if not link.is_makeable:
            return False
        return link.name not in self._after().links or link.name in self.touched or self._is_another(link.name)

    def _is_another(self, name: str | None) -> bool:
        """Whether the change put a link of another kind in the place of one, under its name."""
        pair = [state.links.get(IfName(name)) if name else None for state in (self.before, self.wanted)]
        return None not in pair and len({type(link.options) for link in pair if link is not None}) > 1

    def _link(self, old: Link, seen: Link) -> Link:
        planned = self.wanted.links.get(old.name)
        after = self._after().links.get(old.name)
        values: dict[str, Any] = {}
        plugged = seen.master != old.master and seen.master is not None and self._goes(seen.master)
        by_others = plugged and (after is None or after.master != seen.master) and old.name not in self.touched
        remade = self._is_another(old.master)
        for facet in FACETS:
            if remade and facet in {"master", "vlans"}:
                values[facet] = getattr(old, facet)
                continue
            pair = (getattr(planned, facet, None), getattr(after, facet, None))
            if by_others and facet in {"master", "vlans"}:
                values[facet] = getattr(old, facet)
                continue
            values[facet] = self._facet(old.name, facet, getattr(old, facet), getattr(seen, facet), pair)
        if (left := mac_left(old, planned)) is not None and seen.mac == left:
            self.kept.append(f"{old.name} keeps the MAC {left}: before, it had none and took that of its ports")
            values["mac"] = left
        if by_others:  # with its bridge goes all that a port has
            self.kept.append(f"{old.name} was plugged into {seen.master} since, and that is removed")
            values["port"] = old.port
        elif remade:
            values["port"] = old.port
        elif values["master"] == old.master:
            pair = (planned.port if planned else None, after.port if after else None)
            values["port"] = self._facet(old.name, "port", old.port, seen.port, pair)
        else:
            values["port"], values["vlans"] = seen.port, seen.vlans
        if type(old.options) is type(seen.options):
            values["options"] = self._options(old, seen, planned, after)
        else:
            ours = old.name in self.touched or self._is_another(old.name)
            values["options"] = old.options if ours else seen.options
        back = self._addresses(old, seen, values["addrgenmode"], up=values["up"])
        values["addresses"] = gone_back_to(old, after if self.applied is not None else None, seen, back)
        return replace(seen, **values, facts=replace(seen.facts, behind=old.facts.behind, token=old.facts.token))

    def _options(self, old: Link, seen: Link, planned: Link | None, after: Link | None) -> Any:
        values = {}
        for one in old.options.__struct_fields__:
            mine = getattr(old.options, one)
            pair = tuple(getattr(x.options, one, mine) if x else mine for x in (planned, after))
            if one in old.options.momentary and None in (mine, getattr(seen.options, one)):
                values[one] = mine
                continue
            values[one] = self._facet(old.name, one, mine, getattr(seen.options, one), pair)
        return type(old.options)(**values)

    def _facet(self, name: str, facet: str, old: T, seen: T, ours: tuple[Any, ...]) -> T:
        """What a facet goes back to: ``ours`` are its values in the plan and right after it."""
        if seen == old:
            return old
        if any(value != old for value in ours) or name in self.touched:
            if self.applied is not None and all(seen != value for value in ours):
                words = f"{facet_words(facet)} to {value_words(seen, old)}"
                self.kept.append(f"{name}: somebody set {words}; it goes back anyway")
            return old
        if facet == "up":
            self.kept.append(f"{name} is now {'up' if seen else 'down'}")
        else:
            self.kept.append(f"{name}: {facet_words(facet)} is now {value_words(seen, old)}")
        return seen

    # ---- addresses

    def _addresses(self, old: Link, seen: Link, addrgenmode: str, *, up: bool) -> Iterator[Address]:
        now = {address.ip: address for address in seen.addresses}
        planned = {*self.by_files.get(old.name, ())}
        planned |= {a.ip for a in getattr(self.wanted.links.get(old.name), "addresses", ())}
        after = {a.ip: a for a in getattr(self._after().links.get(old.name), "addresses", ())}
        crashed = old.name in self.touched
        away: Mapping[str, Address] | None = None  # looked up only where one is missing
        for address in old.addresses:
            if address.ip not in now:
                if address.lifetime.kept_by:
                    continue  # whoever keeps it gives it back, unless another machine has it by now
                if address.ip not in after or crashed or address.is_link_local:
                    away = self.now_ips if away is None else away
                    yield from self._with_time_left(old.name, (address,), away)  # in its place: the first one speaks
                elif not address.dynamic:
                    self.kept.append(f"{old.name}: {address.ip} is gone")
            elif now[address.ip] == address or (after.get(address.ip) == address and not crashed):
                yield now[address.ip]  # as it is, with the lifetime that it has by now
                if now[address.ip] != address:
                    self.kept.append(f"{old.name}: {address.ip} is set in another way now")
            else:
                yield self._aged(address, now)
        yield from self._came_meanwhile(old)
        moves = {a.ip for a in self._advertised_since(old.name)} if old.master is not None else ()  # a port hears none
        known = {address.ip for address in old.addresses}
        for ip, address in now.items():
            if ip in known or ip in moves:
                continue
            if ip in planned and not (address.is_link_local and addrgenmode != "none"):
                continue
            if address.is_link_local and addrgenmode == "none" and seen.addrgenmode != "none":
                continue  # the kernel made it because we let it
            if address.is_link_local and not up:
                continue  # the kernel made it because we set the link up
            yield address
            if not address.is_link_local:
                self.kept.append(f"{old.name}: {ip} is new")

    def _with_time_left(self, name: str, lost: Iterable[Address], now: Mapping[str, Address]) -> Iterator[Address]:
        """Addresses to put back, with the time that their leases have left."""
        for address in lost:
            aged = self._aged(address, now)
            if aged.lifetime.valid_s == 0:
                self.kept.append(f"{name}: the lease of {address.ip} has ended")
            else:
                yield aged

    def _aged(self, address: Address, now: Mapping[str, Address]) -> Address:
        if address.lifetime.valid_s is None:
            return address
        renewed = now.get(address.ip)
        if renewed is not None and renewed.lifetime.valid_s is not None:
            return replace(
                address, lifetime=Lifetime(valid_s=renewed.lifetime.valid_s, preferred_s=renewed.lifetime.preferred_s)
            )
        return replace(address, lifetime=address.lifetime.after(self.elapsed_s))

    # ---- routes, rules, sysctls, tables

    def _routes(self, links: Mapping[IfName, Link]) -> Iterator[Route]:
        after, now, planned = set(self._after().routes), set(self.now.routes), set(self.wanted.routes)
        before = set(self.before.routes)
        ours = {way_with(route, metric) for route in planned - before for metric in (route.metric, None)}
        gone = [ip_interface(ip) for ip in self.now_ips.keys() - {a.ip for x in links.values() for a in x.addresses}]
        gone_ips = {str(one.ip) for one in gone}
        back: dict[tuple[object, ...], Route] = {}
        for route in self.before.routes:
            if route.dev and route.dev not in links:
                continue
            if route not in now:
                has_its_links = all(not dev or dev in self.now.links for _, dev in route.hops)  # else it went with one
                if self.applied is not None and route in after and has_its_links:
                    if route.lifetime.valid_s is None:
                        self.kept.append(f"the route {route.dst} {route.gateway or route.dev} is gone")
                    continue
                if route.protocol == "ra":
                    advertised = self._advertised(route, back.values())
                    if advertised is None:
                        continue
                    route = advertised  # noqa: PLW2901  # the same route, aged, in a place of its own
            back[slot(route)] = route
            yield route
        for route in self.now.routes:
            again = way_with(route, None if route.protocol == "static" else route.metric) in ours
            if route in before or route in planned or again:
                continue  # the last: a manager has set it from our file, with a metric of its own
            if route.dev and (route.dev not in links or self._goes(route.dev) or not links[IfName(route.dev)].up):
                if route not in after and self._goes(route.dev) and route.protocol not in {"ra", "dhcp", "kernel"}:
                    way = route.gateway or route.dev
                    self.kept.append(f"the route {route.dst} by {way} is new, and is removed with {route.dev}")
                continue  # it goes with its link
            if route.prefsrc in gone_ips or is_out_of_reach(route, gone, self.now, links):
                if route.protocol not in {"ra", "dhcp", "kernel"}:
                    way = f"the route {route.dst} by {route.gateway or route.dev}"
                    self.kept.append(f"{way} is new, and is removed with the address that it needs")
                continue  # the kernel takes none from a source that is not there, nor to a gateway that nobody is near
            if in_place(route, back):
                self.kept.append(replaced_words(route))
                continue
            if route.lifetime.valid_s is None and route.protocol not in {"ra", "dhcp"}:
                self.kept.append(f"the route {route.dst} by {route.gateway or route.dev} is new")
            yield route

    def _advertised(self, route: Route, back: Iterable[Route]) -> Route | None:
        """A router's route to put back; None when it has run out, or when its link has another one already."""
        others = (*self.now.routes, *back)
        if any(r.protocol == "ra" and (r.dst, r.table, r.dev) == (route.dst, route.table, route.dev) for r in others):
            return None
        left = route.lifetime.after(self.elapsed_s)
        return None if left.valid_s == 0 else replace(route_by(route, route.dev), lifetime=left)

    def _set(
        self,
        before: tuple[T, ...],
        wanted: tuple[T, ...],
        now: tuple[T, ...],
        after: tuple[T, ...],
        *,
        words: tuple[str, str] = ("is gone", "is new"),
    ) -> list[T]:
        found = [one for one in before if one in now or self.applied is None or one not in after]
        self.kept += [f"{value_words(one)} {words[0]}" for one in before if one not in found]
        new = [one for one in now if one not in before and one not in wanted]
        self.kept += [f"{value_words(one)} {words[1]}" for one in new]
        return found + new

    def _neighbours(self, links: Mapping[IfName, Link]) -> Iterator[FixedNeighbour]:
        """Those that moved are back where they were; what others have set or taken away since is theirs."""
        before, after, wanted = (set(x.neighbours) for x in (self.before, self._after(), self.wanted))
        with_links = {one for one in before if one.dev not in self.now.links}  # they went with those
        for one in (*self.now.neighbours, *(before - set(self.now.neighbours) - after), *sorted(with_links & after)):
            if one.dev in links and (one in before or one not in wanted):
                yield one

    def _sysctls(self, links: Mapping[IfName, Link]) -> dict[str, str]:
        """Parameters of links that are not there any more went with them."""
        stood = [state.sysctls for state in (self.before, self.wanted, self.now)]
        after = {key: value for key, value in self._after().sysctls.items() if link_of(key) not in self.touched}
        found = merge_mapping(stood[0], stood[1], stood[2], after, kept=self.kept)
        for link in links.values():  # a manager that our file told of no IPv6 address there has turned it off
            key = conf(6, link.name, "disable_ipv6")
            if any(address.is_ipv6 for address in link.addresses) and self.before.sysctls.get(key) == "0":
                self.kept = [words for words in self.kept if found.get(key) != "1" or not words.startswith(key)]
                found[key] = "0"
        there = {*links, "all", "default", ""}
        made = links.keys() - self.now.links.keys()
        return {
            key: value
            for key, value in found.items()
            if (name := link_of(key)) in there
            and not (name in made and self._comes_with(links[IfName(name)], key, value))
        }

    def _comes_with(self, link: Link, key: str, value: str) -> bool:
        """Whether the kernel gives this to a link that is made now."""
        if key == conf(6, link.name, "mtu"):
            return value == str(link.mtu)
        return first_value(key, self.now.sysctls) == value


def _addresses_of(state: HostState, name: IfName) -> tuple[Address, ...]:
    link = state.links.get(name)
    return link.addresses if link is not None else ()
