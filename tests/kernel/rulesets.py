"""Generated tables in the normal form: every kind of rule, set and value that can be written."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import strategies as st

from bascule.model.ruleset.normal_form import entries, match, named_set
from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Counter,
    Ct,
    Fib,
    Hook,
    Log,
    Match,
    Meta,
    NamedMap,
    NamedSet,
    Nat,
    Payload,
    Prefix,
    Range,
    Reject,
    Rule,
    SetReference,
    Statement,
    Table,
    Tuple,
    Value,
    VerdictMap,
)
from bascule.model.ruleset.rules import VerdictStatement as Verdict

PORTS = st.integers(1, 65535)
VERDICTS = [Verdict("accept"), Verdict("drop"), Verdict("jump", "side")]
ENDS = [
    Verdict("return"),
    Verdict("continue"),
    Verdict("goto", "side"),
    Reject(),
    Reject("icmpx", "admin-prohibited"),
]
FINAL: st.SearchStrategy[Verdict | Reject] = st.sampled_from([*VERDICTS, *ENDS])
LINKS = st.text("abcdefgh-.~0123456789", min_size=1, max_size=15).filter(lambda name: name[0] not in ".-")


def address(version: int) -> st.SearchStrategy[str]:
    return st.ip_addresses(v=version).map(str)  # type: ignore[arg-type]


def network(version: int) -> st.SearchStrategy[Value]:
    kind = IPv4Network if version == 4 else IPv6Network
    lengths = st.integers(1, kind("::/0" if version == 6 else "0.0.0.0/0").max_prefixlen)

    def made(pair: tuple[str, int]) -> Value:
        found = ip_network(f"{pair[0]}/{pair[1]}", strict=False)
        return Prefix(str(found.network_address), found.prefixlen)

    return st.tuples(address(version), lengths).map(made)


def span(values: st.SearchStrategy[str], version: int) -> st.SearchStrategy[Value]:
    del version
    from ipaddress import ip_address

    return st.tuples(values, values).map(lambda pair: Range(*sorted(pair, key=ip_address)))


def several(values: st.SearchStrategy[Value]) -> st.SearchStrategy[list[Value]]:
    return st.lists(values, min_size=1, max_size=4)


def ports() -> st.SearchStrategy[Value]:
    spans = st.tuples(PORTS, PORTS).map(lambda pair: Range(min(pair), max(pair)))
    near = st.integers(80, 84)  # so that some are neighbours
    return st.one_of(PORTS, near, spans, st.tuples(near, near).map(lambda pair: Range(min(pair), max(pair))))


def addresses(version: int) -> st.SearchStrategy[Value]:
    return st.one_of(address(version), network(version), span(address(version), version))


OPERATORS = st.sampled_from(["==", "!="])


def tests(version: int) -> st.SearchStrategy[Match]:
    family = "ip" if version == 4 else "ip6"
    sides = st.sampled_from([Payload(family, "saddr"), Payload(family, "daddr")])
    links = st.sampled_from([Meta("iifname"), Meta("oifname")])
    several_of = addresses(version)
    return st.one_of(
        st.builds(lambda left, right, sign: match(left, *right, operator=sign), links, several(LINKS), OPERATORS),
        st.builds(lambda left, right, sign: match(left, *right, operator=sign), sides, several(several_of), OPERATORS),
        st.builds(lambda left, sign: match(left, SetReference(f"known{version}"), operator=sign), sides, OPERATORS),
        st.builds(
            lambda states: match(Ct("state"), *states, operator="in"),
            several(st.sampled_from(["new", "established", "related", "invalid", "untracked"])),
        ),
        st.just(match(Ct("status"), "dnat", operator="in")),
        st.just(match(Fib(("daddr",), "type"), "local")),
        st.integers(1, 2**32 - 1).map(lambda number: match(Meta("mark"), number)),
    )  # fmt: skip


def transport() -> st.SearchStrategy[Match]:
    fields = st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from(["dport", "sport"])).map(lambda x: Payload(*x))
    return st.one_of(
        st.builds(lambda left, right, sign: match(left, *right, operator=sign), fields, several(ports()), OPERATORS),
        st.just(match(Payload("tcp", "dport"), SetReference("ports"))),
        st.sampled_from([match(Meta("l4proto"), "tcp"), match(Meta("l4proto"), "tcp", "udp")]),
    )


def verdict_maps() -> st.SearchStrategy[VerdictMap]:
    verdicts = st.sampled_from(VERDICTS)
    by_port = st.dictionaries(PORTS, verdicts, min_size=1, max_size=4)
    by_state = st.dictionaries(st.sampled_from(["new", "established", "related"]), verdicts, min_size=1)
    return st.one_of(
        by_port.map(lambda pairs: VerdictMap(Payload("tcp", "dport"), entries(pairs.items()))),
        by_state.map(lambda pairs: VerdictMap(Ct("state"), entries(pairs.items()))),
        st.dictionaries(LINKS, verdicts, min_size=1, max_size=3).map(
            lambda pairs: VerdictMap(Meta("iifname"), entries(pairs.items()))
        ),
        st.just(VerdictMap(Payload("tcp", "dport"), map="doors")),
    )


def filters() -> st.SearchStrategy[Rule]:
    def made(version: int) -> st.SearchStrategy[Rule]:
        by_pair = st.lists(st.tuples(address(version), PORTS), min_size=1, max_size=3, unique=True).map(
            lambda pairs: match(
                Concatenation((Payload("ip" if version == 4 else "ip6", "saddr"), Payload("tcp", "dport"))),
                *(Tuple(pair) for pair in pairs),
            )
        )
        plain: st.SearchStrategy[list[Statement]] = st.one_of(
            FINAL.map(lambda one: [one]),
            FINAL.map(lambda one: [Counter(), one]),
            st.sampled_from([[Log("x: ")], [Log(group=5)], [Log("y", level="debug"), Verdict("drop")]]),
        )
        last = st.one_of(  # a map by port tests for the protocol itself
            plain,
            st.builds(lambda test, end: [test, *end], transport(), plain),
            verdict_maps().map(lambda one: [one]),
            by_pair.map(lambda one: [one, Verdict("accept")]),
        )
        return st.builds(
            lambda first, end, comment: Rule((*first, *end), comment),
            st.lists(tests(version), max_size=2, unique_by=lambda one: one.left),
            last,
            st.sampled_from(["", "a remark"]),
        )

    return st.sampled_from([4, 6]).flatmap(made)


def nats(hook: str) -> st.SearchStrategy[Rule]:
    def made(version: int) -> st.SearchStrategy[Rule]:
        family = "ip" if version == 4 else "ip6"
        where = st.builds(lambda first, port: [first, match(Payload("tcp", "dport"), port)], tests(version), PORTS)
        there = st.one_of(PORTS, st.just(Range(1024, 65535)))
        flags = st.sampled_from([(), ("random",), ("persistent",)])
        if hook == "postrouting":
            what = st.one_of(
                flags.map(lambda some: Nat("masquerade", flags=some)),
                there.map(lambda port: Nat("masquerade", port=port)),
                address(version).map(lambda one: Nat("snat", family, one)),
            )
        else:
            what = st.one_of(
                st.builds(lambda one, port: Nat("dnat", family, one, port), address(version), there),
                address(version).map(lambda one: Nat("dnat", family, one)),
                PORTS.map(lambda port: Nat("redirect", port=port)),
            )
        return st.builds(lambda first, end: Rule((*first, end)), where, what)

    return st.sampled_from([4, 6]).flatmap(made)


def sets() -> st.SearchStrategy[tuple[NamedSet | NamedMap, ...]]:
    def known(version: int) -> st.SearchStrategy[NamedSet]:
        type_ = f"ipv{version}_addr"
        return several(addresses(version)).map(lambda some: named_set(f"known{version}", type_, ["interval"], some))

    return st.tuples(
        known(4),
        known(6),
        st.lists(PORTS, max_size=4, unique=True).map(lambda some: named_set("ports", "inet_service", (), some)),
        st.dictionaries(PORTS, st.sampled_from([Verdict("accept"), Verdict("jump", "side")]), max_size=3).map(
            lambda pairs: NamedMap("doors", "inet_service", (), entries(pairs.items()))
        ),
    )


def tables() -> st.SearchStrategy[Table]:
    """Of the family inet, with a set of each kind, and chains at three hooks."""

    def chain(name: str, kind: str, rules: st.SearchStrategy[Rule]) -> st.SearchStrategy[Chain]:
        return st.builds(
            lambda some, priority, policy: Chain(name, tuple(some), Hook(kind, name, priority, policy)),
            st.lists(rules, max_size=4),
            st.integers(-150, 250),
            st.sampled_from(["accept", "drop"]) if kind == "filter" else st.just("accept"),
        )

    chains = st.tuples(
        st.just(Chain("side", (Rule((Verdict("return"),)),))),
        chain("forward", "filter", filters()),
        chain("prerouting", "nat", nats("prerouting")),
        chain("postrouting", "nat", nats("postrouting")),
    )
    return st.builds(lambda a, b: Table("inet", "bascule_made", a, b, mark="bascule:lodge"), chains, sets())
