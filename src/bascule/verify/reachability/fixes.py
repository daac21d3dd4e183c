"""The smallest edits that open exactly what was asked, each tried in the model, and what else they would open. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.model.kernel_parameters import bridge_nf, conf, dotted
from bascule.model.values import Service
from bascule.policy.guards.table import KEY
from bascule.topology.trace.answer import Blocker, Certainty, Code, Stage
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import ESTABLISHED, text_of
from bascule.topology.trace.rules.lines import CONNTRACK, Decision, RuleChain, RuleLine, Rules
from bascule.topology.trace.rules.tests import MISSING, AnyFlag, Atom, Field, Test
from bascule.topology.trace.rules.words import insert_words
from bascule.verify import firewalld
from bascule.verify.reachability.participant import Participant
from bascule.verify.reachability.places import LibvirtForward
from bascule.verify.reachability.program_edits import (
    Edit,
    is_firewallds,
    of_firewalld,
    of_libvirt,
    of_ufw,
    test_of,
    with_lines,
)
from bascule.verify.reachability.question import AnsweredQuestion, ask, ask_each_port, worst_port

MOST_PARTIES = 24  # with whom it is tried what else an edit opens
WIDTH = ("meta iifname", "meta oifname")
ADDRESSES = ("ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr")
EXACT = (*WIDTH, "ether type", *ADDRESSES, "icmp type", "icmpv6 type", "th dport", "th sport")
ICMP = {8: "echo-request", 0: "echo-reply", 128: "echo-request", 129: "echo-reply", 135: "nd-neighbor-solicit",
        136: "nd-neighbor-advert"}  # fmt: skip

Pair = tuple[str, str]


class Fix(Struct, frozen=True, kw_only=True):
    """Commands that open what was asked. ``opens`` are all pairs that reach each other by the service only then."""

    commands: tuple[str, ...]
    opens: tuple[Pair, ...]
    among: int  # how many pairs were tried
    untried: int = 0  # and how many of those who are known were in none of them
    remark: str = ""


def fixes(
    network: HostNetwork,
    known: Mapping[str, Participant],
    asked: AnsweredQuestion,
    service: Service,
    forward: Callable[[str], LibvirtForward | None] = lambda _: None,
) -> tuple[Fix, ...]:
    """Every fix that works in the model, the one that opens least first; ``forward`` knows libvirt's bridges."""
    if asked.answer.result is Certainty.YES:
        return ()
    # of a range of ports all at once, or else those alone that are stopped as these are
    each = ask_each_port(network, known, asked.by, asked.of, service)
    stopped = [one for one in each if one.answer.result is not Certainty.YES]
    if not stopped:  # nothing of this host stops it
        return ()
    whole = _for_ports(network, known, stopped, service, forward)
    if whole or asked.service == service:
        return whole
    part = _for_ports(network, known, [asked], asked.service, forward)
    return tuple(
        replace(one, remark="; ".join(filter(None, (f"of {service} {asked.service} alone", one.remark))))
        for one in part
    )


def _for_ports(
    network: HostNetwork,
    known: Mapping[str, Participant],
    stopped: Sequence[AnsweredQuestion],
    service: Service,
    forward: Callable[[str], LibvirtForward | None],
) -> tuple[Fix, ...]:
    stopped = [_of_range(one, service) for one in stopped]
    asked, rules = worst_port(stopped), network.rules
    candidates = [_exactly(stopped, rules, EXACT), _exactly(stopped, rules, WIDTH), _unbridged(network, asked)]
    by_mode = (partial(of_libvirt, forward=forward, mode=mode) for mode in ("route", "open"))
    candidates += [_exactly(stopped, rules, EXACT, own) for own in by_mode]
    named = [_commands(edits) for edits in candidates[:2]]
    last = [_exactly(stopped, rules, keys, owned=False) for keys in (EXACT, WIDTH)]
    before: dict[Pair, Certainty] | None = None
    found: list[Fix] = []
    for edits in (*candidates, *last):
        if not edits or any(fix.commands == _commands(edits) for fix in found):
            continue
        if edits in last and any(fix.commands in named for fix in found):
            break
        after = network
        for edit in edits:
            after = edit.apply(after)
        each = ask_each_port(after, known, asked.by, asked.of, service)
        if any(one.answer.result is not Certainty.YES for one in each):
            continue
        if before is None:
            before = dict(_all_pairs(network, known, asked))
        now = _all_pairs(after, known, asked)
        opened = tuple(pair for pair, result in now if result is Certainty.YES is not before.get(pair))
        others = max(0, sum(bool(party.addresses) for party in known.values()) - MOST_PARTIES)
        found.append(
            Fix(commands=_commands(edits), opens=opened, among=len(before), untried=others, remark=_remark(edits))
        )
    return tuple(sorted(found, key=lambda fix: (len(fix.opens), len(fix.commands))))


def _commands(edits: Sequence[Edit]) -> tuple[str, ...]:
    commands = dict.fromkeys(command for edit in edits for command in edit.commands)
    last = [firewalld.RELOAD] if firewalld.RELOAD in commands else []
    return (*(one for one in commands if one not in last), *last)


def _remark(edits: Sequence[Edit]) -> str:
    commands = _commands(edits)
    if any("net-destroy" in command for command in commands):
        routed = any("mode='route'" in command for command in commands)
        words = "its guests are masqueraded no more: others need a route back to them" if routed else "libvirt makes no"
        words = words if routed else f"{words} rules for it then, and masquerades nobody"
        return f"{words}; net-destroy unplugs its guests until libvirtd is restarted"
    if any("DOCKER-USER" in command for command in commands):
        return "Docker keeps DOCKER-USER over its restarts, not over a reboot"
    if any("bridge-nf-call" in command for command in commands):
        return "Docker's icc=false, Kubernetes' services and nwfilter need the bridged frames in these chains"
    if any(KEY in command for command in commands):
        return "for a test: the guards are made from the lines of the site file above, and apply puts them back"
    lasts = not any("nft insert" in one or "-I " in one for one in commands)
    return "" if lasts else "until the rules are loaded again"


def _all_pairs(
    network: HostNetwork, known: Mapping[str, Participant], asked: AnsweredQuestion
) -> Iterator[tuple[Pair, Certainty]]:
    """Everybody to everybody, those who were asked for among them."""
    parties = {asked.by.name: asked.by, asked.of.name: asked.of}
    meant = {address for party in parties.values() for address in party.addresses}
    for name, party in known.items():
        if len(parties) < MOST_PARTIES and party.addresses and not meant.intersection(party.addresses):
            parties.setdefault(name, party)
    for one in parties.values():
        for other in parties.values():
            if one is not other:
                try:
                    yield (one.name, other.name), ask(network, known, one, other, asked.service).answer.result
                except UsageFault:  # no address of one family: no pair
                    continue


# ---- edits


def _exactly(
    stopped: Sequence[AnsweredQuestion],
    rules: Rules,
    keys: Sequence[str],
    own: Callable[[Blocker], Edit | None] = lambda _: None,
    *,
    owned: bool = True,
) -> list[Edit]:
    """An edit for each thing in the way; none at all where one has no edit that could work.

    Without ``owned`` a line goes to the head of the chain, whoever made it, where its own program's words do not help.
    """
    edits: list[Edit] = []
    for leg in (leg for one in stopped for leg in one.answer.legs):
        for blocker in leg.blockers:
            edit = own(blocker) or _edit(blocker, rules, keys, is_reply=leg.name == "reply", owned=owned)
            if edit is None:
                return []
            edits.append(edit)
    return edits


def _edit(blocker: Blocker, rules: Rules, keys: Sequence[str], *, is_reply: bool, owned: bool) -> Edit | None:
    if blocker.chain is not None and is_firewallds(blocker.chain):
        return of_firewalld(blocker, blocker.chain, rules, exact=keys is EXACT)
    if blocker.chain is not None:
        return _opened(blocker.chain, rules, blocker, keys, is_reply=is_reply, owned=owned)
    if blocker.code is Code.NOT_FORWARDING and blocker.subject.startswith("net."):  # of this host, not of a machine
        return _parameter(dotted(blocker.subject), "1")
    if blocker.code is Code.RP_FILTER:
        return _parameter(conf(4, blocker.subject, "rp_filter"), "2")
    if blocker.code is Code.ISOLATED:
        port = blocker.subject.split()[-1]
        return Edit((f"bridge link set dev {port} isolated off",), lambda network: _port(network, port, isolated=False))
    if blocker.code is Code.FDB and "flood off" in blocker.text:
        port = blocker.subject
        return Edit((f"bridge link set dev {port} flood on",), lambda network: _port(network, port, flood=True))
    if blocker.code is Code.LINK_DOWN and blocker.text.endswith("is down"):
        link = blocker.subject
        return Edit((f"ip link set {link} up",), lambda network: _up(network, link))
    return None


def _parameter(key: str, value: str) -> Edit:
    return Edit(
        (f"sysctl -w {dotted(key)}={value}",),
        lambda network: replace(network, sysctls={**network.sysctls, key: value}),
    )


def _port(network: HostNetwork, name: str, **flags: bool) -> HostNetwork:
    link = network.link(name)
    if link is None or link.port is None:
        return network
    links = {**network.state.links, link.name: replace(link, port=replace(link.port, **flags))}
    return replace(network, state=replace(network.state, links=links))


def _up(network: HostNetwork, name: str) -> HostNetwork:
    link = network.link(name)
    if link is None:
        return network
    links = {**network.state.links, link.name: replace(link, up=True)}
    return replace(network, state=replace(network.state, links=links))


def _unbridged(network: HostNetwork, asked: AnsweredQuestion) -> list[Edit]:
    """Leave bridged frames out of the IP chains, where nothing else is in the way than these."""
    version = asked.version
    name = "iptables" if version == 4 else "ip6tables"
    stages = [stage for leg in asked.answer.legs for stage in leg.stages if stage.blockers]
    bridges = {stage.where.split(" → ")[0] for stage in stages}
    bridged = all(stage.family in {"ip", "ip6"} for stage in stages)
    if not bridged or not stages or any(name in network.calls.get(bridge, ()) for bridge in bridges):
        return []
    if not network.number(bridge_nf(f"call-{name}")):
        return []
    return [_parameter(bridge_nf(f"call-{name}"), "0")]


def _opened(
    chain: RuleChain, rules: Rules, blocker: Blocker, keys: Sequence[str], *, is_reply: bool, owned: bool
) -> Edit | None:
    """A line at the head of the base chain that stops the packet: an accept elsewhere would not help."""
    base = chain.base
    if base is None or base.type == "nat":
        return None
    tests: list[Test | AnyFlag] = []
    words: list[str] = []
    options: list[str] = []
    # before connections are tracked no packet belongs to one
    if is_reply and chain.family in {"ip", "ip6", "inet"} and base.priority > CONNTRACK:
        tests.append(AnyFlag(Field("ct state"), ESTABLISHED | 4))
        words.append("ct state established,related")
        options.append("-m conntrack --ctstate RELATED,ESTABLISHED")
    else:
        for key, value in _asked_of(chain, blocker, keys, is_reply=is_reply):
            tests.append(test_of(key, value))
            words.append(_as_nft(key, value, blocker))
            options.append((_as_ebtables if chain.family == "bridge" else _as_iptables)(key, value, blocker))
    line = RuleLine(parts=(*tests, Decision("accept")), text=f"{' '.join(words)} accept")
    if owned and (in_ufw := of_ufw(blocker, chain, rules, options, line)) is not None:
        return in_ufw
    command = _inserted(chain, words, options, blocker)
    return Edit((command,), with_lines(chain, lambda lines: (line, *lines)))


def _of_range(asked: AnsweredQuestion, service: Service) -> AnsweredQuestion:
    """The same, where what stops one port is told to the lines that open it as stopping a whole range."""
    if service.last <= service.first:
        return asked

    def wide(blocker: Blocker) -> Blocker:
        own = [key for key in ("th dport", "th sport") if blocker.fields.get(key) == asked.traffic.port]
        now = dict.fromkeys(own, (service.first, service.last))
        return replace(blocker, fields={**blocker.fields, **now})

    def widened(stage: Stage) -> Stage:
        return replace(stage, blockers=tuple(map(wide, stage.blockers)))

    legs = tuple(replace(leg, stages=tuple(map(widened, leg.stages))) for leg in asked.answer.legs)
    return replace(asked, answer=replace(asked.answer, legs=legs))


def _asked_of(
    chain: RuleChain, blocker: Blocker, keys: Sequence[str], *, is_reply: bool
) -> Iterator[tuple[str, Atom | tuple[int, int]]]:
    """The fields by which a line knows the packet: a frame of ARP by its type, an answer by the port it comes from."""
    is_arp = "arp operation" in blocker.fields
    for key in keys:
        value = blocker.fields.get(key)
        if key == "ether type" and (chain.family != "bridge" or not is_arp):
            continue
        if key in {"th dport", "th sport"} and (key == "th sport") is not is_reply:
            continue
        if value not in {None, "", MISSING}:
            assert isinstance(value, int | str | tuple)
            yield key, value


def _inserted(chain: RuleChain, words: Sequence[str], options: Sequence[str], blocker: Blocker) -> str:
    if chain.backend == "nft":
        return f"{insert_words(chain)} {' '.join(words)} accept"
    met = blocker.hit.chain.name if blocker.hit else ""
    docker = chain.name == "FORWARD" and chain.table == "filter" and _jumps_to(chain, "DOCKER-USER")
    where = "DOCKER-USER" if docker and met != "DOCKER-USER" else ""
    return f"{insert_words(chain, where)} {' '.join(options)} -j ACCEPT"


def _jumps_to(chain: RuleChain, *names: str) -> bool:
    return any(isinstance(part, Decision) and part.target in names for line in chain.lines for part in line.parts)


def _as_nft(key: str, value: Atom | tuple[int, int], blocker: Blocker) -> str:
    if key in WIDTH:
        return f'{key.removeprefix("meta ")} "{value}"'
    if key == "ether type":
        return "ether type arp"
    if key in {"icmp type", "icmpv6 type"}:
        return f"{key} {ICMP.get(int(str(value)), value)}"
    if key.startswith("th "):
        return f"{_protocol(blocker)} {key[3:]} {_range(value, '-')}"
    return f"{key} {text_of(6 if key.startswith('ip6') else 4, value)}"


def _as_iptables(key: str, value: Atom | tuple[int, int], blocker: Blocker) -> str:
    if key in WIDTH:
        return f"-{key.removeprefix('meta ')[0]} {value}"
    if key in {"icmp type", "icmpv6 type"}:
        return f"-p {'icmp' if key == 'icmp type' else 'ipv6-icmp'} --{key.replace(' ', '-')} {value}"
    if key.startswith("th "):
        return f"-p {_protocol(blocker)} --{key[3:]} {_range(value, ':')}"
    return f"-{key.split()[1][0]} {text_of(6 if key.startswith('ip6') else 4, value)}"


def _as_ebtables(key: str, value: Atom | tuple[int, int], blocker: Blocker) -> str:
    if key in WIDTH:
        return f"-{key.removeprefix('meta ')[0]} {value}"
    if key == "ether type":
        return "-p ARP"
    six = "ip6 saddr" in blocker.fields
    name = "ip6" if six else "ip"
    if key in {"icmp type", "icmpv6 type"}:
        return f"--{name}-proto {'ipv6-icmp' if six else 'icmp'} --{name}-icmp-type {value}"
    if key.startswith("th "):
        return f"--{name}-proto {_protocol(blocker)} --{name}-{key[3:]} {_range(value, ':')}"
    if key.endswith("saddr"):
        return f"-p {'IPv6' if six else 'IPv4'} --{name}-src {text_of(6 if six else 4, value)}"
    return f"--{name}-dst {text_of(6 if six else 4, value)}"


def _range(value: Atom | tuple[int, int], between: str) -> str:
    return f"{value[0]}{between}{value[1]}" if isinstance(value, tuple) else str(value)


def _protocol(blocker: Blocker) -> str:
    return "tcp" if "tcp dport" in blocker.fields else "udp"
