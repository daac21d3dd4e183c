"""One packet on its way through a host: its fields as they change, the hooks that it meets, what stands in its way.

The packet goes on past whatever stops it, so that everything is named. Facts about hooks are measured (Linux 6.18)
or from the kernel's source; docs/explanation/frames.md has them with drawings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from bascule.model.ruleset.openflow import LoadedRule
from bascule.topology.trace.answer import Blocker, Code, Stage
from bascule.topology.trace.connection_tracking import tracked_versions
from bascule.topology.trace.fib_questions import fib_fields
from bascule.topology.trace.packet import (
    ESTABLISHED,
    FOR_THE_HOST,
    INVALID,
    NEW,
    OTHER_HOST,
    RELATED,
    SYN_ACK,
    UNTRACKED,
    AddressPort,
    Connection,
    key,
    text_of,
    with_port,
)
from bascule.topology.trace.packet_record import PacketRecord, balanced_words, balancing, unread_calls
from bascule.topology.trace.rules.evaluate import ChainEnd, MatchedLine, UncertainLine, run
from bascule.topology.trace.rules.lines import RuleChain
from bascule.topology.trace.rules.tests import MISSING, looked_up, value_of

SNAT, DNAT, STOPS = 16, 32, {"drop", "reject"}  # bits of ct status, and verdicts
# doubts that a word or a clock decides, so the code says that it is only limited
LIMITS = ("limit", "quota", "ct count", "numgen", "meta time", "meta hour", "meta day", "--limit", "--hashlimit")


class PacketPath(PacketRecord):
    """The way of one packet through hooks."""

    def bridge_hook(
        self,
        hook: str,
        bridge: str,
        *,
        iif: str = "",
        oif: str = "",
        low: int | None = None,
        high: int | None = None,
        only: RuleChain | None = None,
    ) -> None:
        """The bridge family's chains at a hook, of priorities above ``low`` and up to ``high``; or ``only`` one."""
        if low is None and only is None:
            self.unsure += unread_calls(self.network, "bridge", hook)
        chains = [
            chain
            for chain in self.network.rules.at("bridge", hook)
            if chain.base is not None
            and not self.network.is_switched(bridge)
            and (low is None or chain.base.priority > low)
            and (high is None or chain.base.priority <= high)
            and (only is None or chain is only)
        ]
        if not chains:
            return
        self._at(iif, oif)
        kept = {name: self.fields.get(name) for name in ("ct state", "ct status", "ct mark", "meta nfproto")}
        kept |= self._hidden()
        ibr = bridge if iif else ""
        obr = bridge if oif else ""
        self.fields |= {"meta ibrname": ibr, "meta obrname": obr, "meta nfproto": 7, "ct state": None}
        self.fields["meta ibrhwaddr"] = self.network.mac_of(bridge)
        self.fields |= {"ct status": None, "ct mark": None, **dict.fromkeys(self._hidden())}
        self._chains(f"bridge {hook}", "bridge", hook, chains, where=_between(iif, oif))
        self.fields |= kept

    def _hidden(self) -> dict[str, Any]:
        """Of a tagged frame the fields of IP: nft shows no ``ether type`` before them, which would not match."""
        tagged = "vlan id" in self.fields
        return {name: self.fields[name] for name in self.fields if name.startswith(("ip ", "ip6 "))} if tagged else {}

    def meets_flows(self, rules: Sequence[LoadedRule]) -> None:
        """Rules of OpenFlow are asked next."""

    def device_hook(self, hook: str, device: str) -> None:
        """The chains at a link itself, before or after everything else."""
        chains = self.network.rules.at("netdev", hook, device)
        self.unsure += unread_calls(self.network, "netdev", hook)
        self.unsure += self.network.unread(device, ingress=hook == "ingress")
        if not chains:
            return
        self._at(device if hook == "ingress" else "", device if hook == "egress" else "")
        kept = {name: self.fields.get(name) for name in ("ct state", "ct status", "meta nfproto")} | self._hidden()
        self.fields |= {"meta nfproto": 5, "ct state": None, "ct status": None, **dict.fromkeys(self._hidden())}
        self._chains(f"netdev {hook}", "netdev", hook, chains, where=device)
        self.fields |= kept

    def arp_hook(self, hook: str, *, iif: str = "", oif: str = "") -> None:
        """The chains of the arp family: what the host itself takes and sends."""
        self._at(iif, oif)
        self.fields |= {"meta nfproto": 3}
        self._chains(f"arp {hook}", "arp", hook, self.network.rules.at("arp", hook), where=_between(iif, oif))

    def ip_hook(self, hook: str, *, iif: str = "", oif: str = "") -> None:
        """The chains of ip or ip6 and inet at a hook in their true order, with connection tracking and NAT between."""
        version = self.version
        family = "ip" if version == 4 else "ip6"
        self._at(iif, oif)
        self.unsure += unread_calls(self.network, family, hook)
        if hook in {"input", "output"}:
            self._balanced()
        self.fields |= {"meta nfproto": 2 if version == 4 else 10}
        kind = self.fields.get("meta pkttype", FOR_THE_HOST)
        self.fields["meta pkttype"] = (
            FOR_THE_HOST if kind == OTHER_HOST else kind
        )  # br_netfilter hides that it is bridged
        # nf_defrag puts them together where anything tracks, ip_local_deliver() always, ip6_input() afterwards
        tracked = hook in {"prerouting", "output"} and family in tracked_versions(self.network.rules)
        if tracked or (hook == "input" and version == 4):
            self.in_pieces = False
        events, nats = self.network.rules.calls(family, hook)
        batch: list[RuleChain] = []
        name, where = f"{family} {hook}", _between(iif, oif)
        for event in events:
            if isinstance(event, RuleChain):
                batch.append(event)
                continue
            self._chains(name, family, hook, batch, where=where)
            batch = []
            if event == "conntrack":
                self._track(version)
                continue
            before = self.fields[key(version, "daddr")]
            self._nat(version, hook, nats, oif=oif, iif=iif)
            if hook == "output" and self.fields[key(version, "daddr")] != before:
                self.route_now()  # nf_nat_ipv4_local_fn()
        self._chains(name, family, hook, batch, where=where)
        if hook in {"postrouting", "input"}:
            self._confirm()
        self.fields["meta pkttype"] = kind

    def _balanced(self) -> None:
        self.unsure += (balanced_words(one) for one in balancing(self.network, self.version, self.fields))

    def route_now(self) -> None:
        """A hook has it routed, by the mark that it has here; a mark that it gets later changes nothing."""
        self.routed, self.routed_mark = True, self.fields.get("meta mark", 0)

    def _at(self, iif: str, oif: str) -> None:
        self.fields |= {"meta iifname": iif, "meta oifname": oif, "meta iif": iif, "meta oif": oif}

    def _chains(self, name: str, family: str, hook: str, chains: Sequence[RuleChain], *, where: str) -> None:
        if not chains:
            return
        hits, blockers = list[MatchedLine](), list[Blocker]()
        for chain in chains:
            if family in {"ip", "ip6"}:
                self.fields |= self._fib_fields(str(self.fields["meta iifname"]))
            mark = self.fields.get("meta mark")
            taken, blocker = self._meet(chain)
            if chain.base is not None and chain.base.type == "route" and self.fields.get("meta mark") != mark:
                self.route_now()  # ip_route_me_harder(); chains of other types change no route
            hits += taken.hits
            if blocker is not None:
                blockers.append(blocker)
        verdict = "ok"
        if blockers:
            verdict = "no" if any(one.certain for one in blockers) else "perhaps"
        self.stages.append(
            Stage(
                name=name,
                where=where,
                family=family,
                hook=hook,
                verdict=verdict,
                chains=tuple(chains),
                hits=tuple(hits),
                blockers=tuple(blockers),
            )
        )

    def _meet(self, chain: RuleChain) -> tuple[ChainEnd, Blocker | None]:
        """One base chain: what the packet is after it, and what stops it there."""
        taken, blocker = self._settle(chain, run(self.network.rules, chain, self.fields))
        if self.in_pieces and (blocker is None or not blocker.certain):
            above = ("th ", "tcp ", "udp ", "icmp ", "icmpv6 ")
            # the kernel reads whatever they have where others have ports (measured: "udp dport < 80" met zeros)
            later = self.fields | dict.fromkeys((name for name in self.fields if name.startswith(above)), None)
            blocker = self._settle(chain, run(self.network.rules, chain, later))[1] or blocker
        self.fields = dict(taken.fields)
        return taken, blocker

    def unordered(self, before: int) -> None:
        """Whatever stopped the packet since stage ``before`` does so only if br_netfilter does not skip it."""
        for place, stage in enumerate(self.stages[before:], before):
            blockers = tuple(map(_unordered, stage.blockers))
            self.stages[place] = replace(stage, verdict="perhaps" if blockers else stage.verdict, blockers=blockers)

    def _settle(self, chain: RuleChain, outcomes: Sequence[ChainEnd]) -> tuple[ChainEnd, Blocker | None]:
        """The outcome that the packet goes on with, and what stops it there."""
        stopping = [one for one in outcomes if one.verdict in STOPS]
        passing = [one for one in outcomes if one.verdict not in STOPS]
        blocker = None
        if stopping:
            first = stopping[0]
            doubts = () if not passing else first.doubts
            code = Code.POLICY if first.by is None else Code.FILTERED
            if passing and all(one.reason.startswith(LIMITS) for one in doubts):
                code = Code.LIMITED
            subject = str(chain)
            does = {"reject": "rejects it"}.get(first.verdict, "drops it")
            text = f"its policy {does}" if first.by is None else f"a line {does}"
            blocker = Blocker(
                code=code,
                subject=subject,
                text=text,
                certain=not passing,
                depends=bool(self.unsure),
                chain=chain,
                hit=first.by,
                doubts=doubts,
                fields=first.fields,
            )
        taken = (passing or stopping)[0]
        if len(passing) > 1:
            self.unsure.append(f"it depends on {'; '.join(map(str, (taken.doubts or passing[1].doubts)[:3]))}")
        return taken, blocker

    def _fib_fields(self, iif: str) -> dict[str, Any]:
        asked = self.network.rules.fib_keys
        return fib_fields(self.network, self.network.routes(self.version), self.fields, iif) if asked else {}

    # ---- connection tracking and NAT

    def _ends(self, version: int) -> tuple[AddressPort, AddressPort]:
        fields = self.fields
        source = AddressPort(fields[key(version, "saddr")], fields.get("th sport"))
        return source, AddressPort(fields[key(version, "daddr")], fields.get("th dport"))

    def _track(self, version: int) -> None:
        if self.fields.get("ct state") == UNTRACKED or self.fields.get("ct entry"):
            return
        if self.version == 6 and self.fields.get("icmpv6 type") in {133, 134, 135, 136, 137}:
            self.fields["ct state"] = UNTRACKED  # nf_conntrack leaves neighbour discovery alone
            return
        source, target = self._ends(version)
        known, zone = self.connection, self.fields.get("ct zone", 0)
        if zone is None:
            self.unsure.append("it is tracked in another conntrack zone, and which one is not known")
        elif not known.tracked:
            known.zone = zone
        error = self.fields.get("icmp type") == 3 or self.fields.get("icmpv6 type") in {1, 2}
        attached = self.fields.get("ct attached")
        about = error and bool(known.concerns(source.address, target.address) if attached is None else attached)
        if attached or (known.is_reply and zone in {known.zone, None} and (about or known.answers(source, target))):
            nat = _nat_bits(known)
            state = RELATED if about else ESTABLISHED
            # an error does not count as an answer: until there is one, the connection has not seen a reply
            self.fields |= {
                "ct state": state,
                "ct status": 8 | nat | (0 if about else 2),
                "ct direction": int(known.is_reply),
            }
            self.fields |= {"ct mark": known.mark, "ct entry": 1}
        elif known.is_reply:
            lone = self.fields.get("tcp flags") == SYN_ACK or "icmp type" in self.fields or "icmpv6 type" in self.fields
            self.fields |= {"ct state": INVALID if lone else NEW, "ct status": 0, "ct direction": 0}
            if not lone:  # it opens a connection of its own
                known = self.connection = Connection(source=source, target=target, tracked=True)
                self.fields |= {"ct entry": 1, "ct mark": 0}
        else:
            if not known.tracked:
                known.source, known.target, known.tracked = source, target, True
            self.fields |= {"ct state": NEW, "ct status": 0, "ct direction": 0, "ct entry": 1, "ct mark": 0}
            if known.established:
                self.fields |= {"ct state": ESTABLISHED, "ct status": 10 | _nat_bits(known), "ct mark": known.mark}
        if known.source and known.target:
            ip = "ip" if version == 4 else "ip6"
            self.fields |= {f"ct original {ip} saddr": known.source.address, "ct original proto-src": known.source.port}
            self.fields |= {f"ct original {ip} daddr": known.target.address, "ct original proto-dst": known.target.port}

    def _confirm(self) -> None:
        if self.fields.get("ct entry") and not self.connection.is_reply:
            self.connection.mark = self.fields.get("ct mark", 0)

    def _nat(self, version: int, hook: str, chains: Sequence[RuleChain], *, iif: str, oif: str) -> None:
        if not self.fields.get("ct entry"):
            return
        known = self.connection
        is_source = hook in {"postrouting", "input"}
        if known.is_reply:
            back = known.target if is_source else known.source
            now = known.new_target if is_source else known.new_source
            if back is not None and now not in {None, back}:
                self._write("saddr" if is_source else "daddr", back, f"NAT of the connection reversed at {hook}")
            return
        made = known.new_source if is_source else known.new_target
        if made is not None or known.established:
            if known.established and made not in {None, known.source if is_source else known.target}:
                self._write("saddr" if is_source else "daddr", made, "NAT of the connection")
            return
        family = "ip" if version == 4 else "ip6"
        of_both_kinds = len({chain.is_legacy for chain in chains}) > 1
        for place, chain in enumerate(chains):
            self.fields |= self._fib_fields(iif)
            if of_both_kinds and (rivals := chain.rivals(chains[place + 1 :])):
                self._ask_rivals(chain, rivals)
            taken, blocker = self._meet(chain)
            self.stages.append(
                Stage(
                    name=f"{family} {hook}",
                    where=_between(iif, oif),
                    family=family,
                    hook=hook,
                    verdict="ok" if blocker is None else "no" if blocker.certain else "perhaps",
                    chains=(chain,),
                    hits=taken.hits,
                    blockers=(blocker,) if blocker else (),
                )
            )
            if taken.nat is not None:
                self._translate(version, taken, hook, iif=iif, oif=oif)
                return

    def _ask_rivals(self, chain: RuleChain, rivals: Sequence[RuleChain]) -> None:
        """Whose NAT it is, where rules of both kinds give this packet one."""
        both = (any(end.nat for end in run(self.network.rules, one, self.fields)) for one in (chain, *rivals))
        if next(both) and any(both):
            self.unsure.append(f"which of {chain} and {rivals[0]} the kernel asks first is not known")

    def _translate(self, version: int, taken: ChainEnd, hook: str, *, iif: str, oif: str) -> None:
        nat = taken.nat
        assert nat is not None
        is_source = hook in {"postrouting", "input"}
        which = "saddr" if is_source else "daddr"
        before = AddressPort(self.fields[key(version, which)], self.fields.get("th sport" if is_source else "th dport"))
        address: Any = before.address
        port: Any = before.port
        if nat.pair is not None:
            found = looked_up(nat.pair[0], nat.pair[1], self.fields)
            if not isinstance(found, tuple):
                return
            address, port = found[0], found[1] if len(found) > 1 and "th dport" in self.fields else port
        elif nat.kind == "masquerade":
            address = self.network.masquerading(version, oif)
        elif nat.kind == "redirect":
            loopback = (127 << 24 | 1) if version == 4 else 1
            address = loopback if hook == "output" else self.network.address_of(version, iif)
        elif nat.address is not None:
            address = value_of(nat.address, self.fields)
        if nat.port is not None and port is not None:
            port = value_of(nat.port, self.fields)
        if address is MISSING or port is MISSING:  # a map without this packet: no NAT at all
            return
        if not address:
            blocker = f"{nat.kind} finds no source address on {oif or iif}"
            self.stop(Code.NAT_NOWHERE, str(taken.by.chain if taken.by else ""), blocker, name=f"nat {hook}")
            return
        if is_source and oif == "lo":
            self.unsure.append("another source of a packet to the host itself, which kernels treat in different ways")
        if nat.unsure:
            self.unsure.append(f"NAT to {nat.unsure}")
        after = AddressPort(address, port)
        if is_source:
            self.connection.new_source = after
        else:
            self.connection.new_target = after
        if after == before:  # what stays as it is has no bit in its status (nf_nat_setup_info)
            return
        self._write(which, after, nat.kind)
        self.fields["ct status"] = (self.fields.get("ct status") or 0) | (SNAT if is_source else DNAT)

    def _write(self, which: str, to: AddressPort, words: str) -> None:
        self.fields = {**self.fields, key(self.version, which): to.address}
        if to.port is not None:
            self.fields = with_port(self.fields, "sport" if which == "saddr" else "dport", to.port)
        self.note("NAT", f"{words}: {which} {text_of(self.version, to.address)}", verdict="changed")


def _nat_bits(known: Connection) -> int:
    """What ct status says of NAT in a connection."""
    source = SNAT if known.new_source not in {None, known.source} else 0
    return source | (DNAT if known.new_target not in {None, known.target} else 0)


def _between(iif: str, oif: str) -> str:
    return f"{iif} → {oif}" if iif and oif else iif or oif


def _unordered(blocker: Blocker) -> Blocker:
    text = f"{blocker.text}, unless br_netfilter skips it: at priority 0 that depends on which was there first"
    doubts = blocker.doubts
    if blocker.chain is not None and blocker.hit is not None:
        doubts = (*doubts, UncertainLine(blocker.chain, blocker.hit.line, "the order of loading"))
    return replace(blocker, code=Code.ORDER, text=text, certain=False, doubts=doubts)
