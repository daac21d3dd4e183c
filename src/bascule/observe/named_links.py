"""What runs on this host and names links: rules, sockets, programs with their files, traffic control."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from bascule.errors import BasculeError
from bascule.model.links import Bridge, Other
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.observe.firewall import read_firewall
from bascule.observe.management import ssh_connection
from bascule.plan.warnings.named_links import EVERY_FRAME, BoundProgram, LinkUses
from bascule.providers.kernel.tokens import TOKENS, tokens_of_links
from bascule.system.process import proc
from bascule.system.run import read_rows, run
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import RuleChain
from bascule.topology.trace.rules.words import chain_words

PROC = Path("/proc")
CLIENTS = {"dhclient", "dhcpcd", "udhcpc", "busybox", "NetworkManager", "systemd-network"}  # told with their leases
SHELLS = {"bash", "sh", "dash", "zsh", "fish", "su", "sudo", "ssh", "sshd", "tmux", "screen", "ip", "bascule"}
READERS = {"vi", "vim", "nvim", "emacs", "nano", "micro", "joe", "less", "more", "view", "cat", "tail", "grep"}
FILES = {  # where programs that name links have it written, unless their command line says otherwise
    "avahi-daemon": ("/etc/avahi/avahi-daemon.conf",), "bird": ("/etc/bird.conf", "/etc/bird/bird.conf"),
    "chronyd": ("/etc/chrony/chrony.conf", "/etc/chrony.conf"), "dhcpd": ("/etc/default/isc-dhcp-server",),
    "dnsmasq": ("/etc/dnsmasq.conf", "/etc/dnsmasq.d"), "hostapd": ("/etc/hostapd/hostapd.conf",),
    "kea-dhcp4": ("/etc/kea/kea-dhcp4.conf",), "kea-dhcp6": ("/etc/kea/kea-dhcp6.conf",),
    "keepalived": ("/etc/keepalived/keepalived.conf",), "lldpd": ("/etc/lldpd.conf", "/etc/lldpd.d"),
    "named": ("/etc/bind/named.conf",), "ndppd": ("/etc/ndppd.conf",), "nmbd": ("/etc/samba/smb.conf",),
    "ntpd": ("/etc/ntp.conf", "/etc/ntpsec/ntp.conf"), "radvd": ("/etc/radvd.conf",), "smbd": ("/etc/samba/smb.conf",),
    "suricata": ("/etc/suricata/suricata.yaml",), "unbound": ("/etc/unbound/unbound.conf",),
    "vnstatd": ("/etc/vnstat.conf",), "zebra": ("/etc/frr/frr.conf",),
}  # fmt: skip
SUFFIXES = {".conf", ".cfg", ".ini", ".json", ".yaml", ".yml"}
SIZE_MAX = 1 << 18  # bytes of a configuration file that is looked through
ALL_HOSTS = "224.0.0.1"
SOLICITED = IPv6Network("ff02::1:ff00:0/104")  # RFC 4291, 2.7.1, as are all nodes and all routers of a scope
NODES = {number.to_bytes(14, "big") for number in (1, 2)}
SNOOPERS = {"224.0.0.106", "ff02::6a"}  # the kernel's br_multicast_join_snoopers
ORDINARY_QDISC = "0:"  # the handle of one that the kernel made itself


def read_uses(links: Iterable[str], state: HostState) -> LinkUses:
    """Everything that names one of these links, in the namespace that we are in; nothing is changed."""
    wanted, gaps = tuple(links), list[str]()
    if os.geteuid() != 0:
        gaps.append("sockets and files of others are visible to root only")
    network = read_firewall(state)
    return LinkUses(
        network=network,
        listeners=tuple(_listeners(gaps)),
        programs={link: tuple(dict.fromkeys(_programs(link))) for link in wanted},
        traffic_control=read_traffic_control(wanted, gaps),
        chains_at={link: tuple(f"nft's {chain_words(one)}" for one in _at(network, link)) for link in wanted},
        groups={link: tuple(_groups(link, _joined_by_kernel(link, state, gaps))) for link in wanted},
        endpoints=_by_link(_mptcp_endpoints(gaps) if wanted else ()),
        ipsec=_by_link(_ipsec(gaps) if wanted else ()),
        tokens=tokens_of_links(_rows(TOKENS, gaps)) if state.has_ipv6 else {},
        others=_by_link(_others(gaps, ipv6=state.has_ipv6) if wanted else ()),
        ssh_port=_ssh_port(),
        gaps=tuple(dict.fromkeys((*gaps, *network.rules.unread))),
    )


def _ask(argv: tuple[str, ...], gaps: list[str]) -> str:
    try:
        return run(argv).stdout
    except BasculeError as error:
        gaps.append(error.problems[0].message)
        return ""


def _rows(argv: tuple[str, ...], gaps: list[str]) -> list[dict[str, Any]]:
    return read_rows(_ask(argv, gaps))


def _ssh_port() -> int:
    """Where the administrator's own line ended, else where SSH ends."""
    line = ssh_connection()
    return int(line[2]) if line is not None and line[2].isdigit() else 22


def _listeners(gaps: list[str]) -> Iterator[BoundProgram]:
    """Sockets that listen, and those that are bound to a link whatever they are for (ss(8))."""
    for line in _ask(("ss", "-H", "-n", "-p", "-a", "-t", "-u", "-w"), gaps).splitlines():
        cells = line.split()
        if len(cells) < 6:
            continue
        where, _, port = cells[4].rpartition(":")
        address, _, link = where.partition("%")
        if link.endswith("]"):
            address, link = address + "]", link[:-1]
        is_raw, is_open = cells[0] not in {"tcp", "udp"}, cells[1] in {"LISTEN", "UNCONN"}
        program = _program(line)
        if program in CLIENTS or not (link or (is_open and not is_raw)):
            continue
        yield BoundProgram(
            program=program,
            protocol=f"raw {port}" if is_raw else cells[0],
            address=address,
            port=int(port) if port.isdigit() and not is_raw else 0,
            link=link,
            peer="" if is_open else cells[5],
        )
    for line in _ask(("ss", "-H", "-n", "-p", "-a", "-0"), gaps).splitlines():
        cells = line.split()
        program = _program(line)
        if len(cells) >= 5 and "users:" in line and program not in CLIENTS:
            kind, _, link = cells[4].rpartition(":")
            frames = f"frames of type {int(kind[1:-1]):#06x}" if kind.startswith("[") else EVERY_FRAME
            yield BoundProgram(program=program, protocol="packet", address=frames, link=link)


def _program(line: str) -> str:
    found = re.search(r'\(\("([^"]+)"', line)
    return found[1] if found else "an unknown program"


def _programs(link: str) -> Iterator[str]:
    """Programs of this namespace whose command line or configuration names a link, with the file and the line."""
    mine = set(proc.ancestors(os.getpid()))  # the command line that we were called by names links, too
    for pid in filter(proc.is_in_our_namespace, proc.pids()):
        words, name = list(filter(None, proc.argv(pid))), proc.name(pid)
        if pid in mine or not words or name in SHELLS | CLIENTS | READERS or _is_bascule(words):
            continue
        if any(link in re.split(r"[\s=,:%@/]", re.sub(r"^-[A-Za-z](?=.)", "", word)) for word in words[1:]):
            yield f"{name} (process {pid}: {' '.join(words)})"
        for path in _files(name, words):
            yield from (f"{name} ({path}:{number}: {line})" for number, line in _lines(path, link))


def _is_bascule(words: list[str]) -> bool:
    """Whether another Bascule runs by an interpreter: its site file names links, and it holds none."""
    return words[1:3] == ["-m", "bascule"] or Path(words[1] if len(words) > 1 else "").name == "bascule"


def _files(name: str, words: list[str]) -> Iterator[Path]:
    """The configuration that a program was started with, and the usual one."""
    told = [Path(word.partition("=")[2] or word) for word in words[1:]]
    named = [path for path in told if path.is_absolute() and path.suffix in SUFFIXES]
    for path in (*named, *map(Path, FILES.get(name, ()))):
        if path.is_dir():
            yield from sorted(one for one in path.iterdir() if one.is_file())
        elif path.is_file():
            yield path


def _lines(path: Path, link: str) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(errors="replace") if path.stat().st_size <= SIZE_MAX else ""
    except OSError:
        return
    word = re.compile(rf"(?<![\w.@-]){re.escape(link)}(?![\w.@-])")
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if plain and plain[0] not in "#;" and word.search(plain):
            yield number, plain


def read_traffic_control(links: Iterable[str], gaps: list[str]) -> dict[str, tuple[str, ...]]:
    """Queues and filters that somebody has put on each of these links; ``gaps`` takes what could not be asked."""
    found = {link: list[str]() for link in links}
    for one in _rows(("tc", "-j", "qdisc", "show"), gaps) if found else ():
        if one["dev"] in found and one.get("handle", ORDINARY_QDISC) != ORDINARY_QDISC:
            found[one["dev"]].append(_queue_words(one, gaps))
    return {link: tuple(words) for link, words in found.items()}


def _queue_words(one: Mapping[str, Any], gaps: list[str]) -> str:
    filters = 0
    if one["kind"] in {"clsact", "ingress"}:
        for side in ("ingress", "egress") if one["kind"] == "clsact" else ("ingress",):
            found = _rows(("tc", "-j", "filter", "show", "dev", one["dev"], side), gaps)
            filters += sum(1 for each in found if "options" in each)
    return f"tc's {one['kind']} {one['handle']}" + (f" with {filters} filters" if filters else "")


def _joined_by_kernel(link: str, state: HostState, gaps: list[str]) -> set[str]:
    """The groups that links join: a bridge that snoops those of RFC 4286, a VXLAN the one that it sends to."""
    own = state.links.get(IfName(link))
    snoops = own is not None and isinstance(own.options, Bridge) and own.options.mcast_snooping
    tunnels = (one.options for one in state.links.values() if isinstance(one.options, Other))
    if not any(one.info_kind == "vxlan" for one in tunnels):
        return SNOOPERS if snoops else set()
    rows = _rows(("ip", "-j", "-d", "link", "show", "type", "vxlan"), gaps)
    data = [row["linkinfo"]["info_data"] for row in rows]
    sent = {str(one.get("group", one.get("group6", ""))) for one in data if one.get("link") == link}
    return sent | (SNOOPERS if snoops else set())


def _groups(link: str, others: set[str]) -> Iterator[str]:
    """The multicast groups that programs have joined on a link, beside those of ``others``, and of every link."""
    current = ""
    for line in (PROC / "thread-self/net/igmp").read_text().splitlines()[1:]:
        cells = line.split()
        if line[:1].isdigit():
            current = cells[1]
        elif current == link and str(group := IPv4Address(bytes.fromhex(cells[0])[::-1])) not in {*others, ALL_HOSTS}:
            yield str(group)
    try:
        lines = (PROC / "thread-self/net/igmp6").read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return
    for _, device, digits, *_ in map(str.split, lines):
        found = IPv6Address(bytes.fromhex(digits))
        if device == link and found not in SOLICITED and found.packed[2:] not in NODES and str(found) not in others:
            yield str(found)


def _at(network: HostNetwork, link: str) -> tuple[RuleChain, ...]:
    """The chains that see a link's frames as they come and go."""
    return tuple(chain for hook in ("ingress", "egress") for chain in network.rules.at("netdev", hook, link))


def _by_link(found: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    kept: dict[str, tuple[str, ...]] = {}
    for link, words in found:
        kept[link] = (*kept.get(link, ()), words)
    return kept


def _mptcp_endpoints(gaps: list[str]) -> Iterator[tuple[str, str]]:
    """The link and the words of each endpoint of MPTCP that is bound to one (ip-mptcp(8))."""
    if not (PROC / "sys/net/mptcp").exists():
        return
    for row in _rows(("ip", "-j", "mptcp", "endpoint", "show"), gaps):
        if "dev" in row:
            flags = [flag for flag in ("subflow", "signal", "backup", "fullmesh") if row.get(flag)]
            yield row["dev"], " ".join((row["address"], f"(id {row['id']}{''.join(f', {flag}' for flag in flags)})"))


def _others(gaps: list[str], *, ipv6: bool) -> Iterator[tuple[str, str]]:
    """What else ip(8) has for one link alone: next hops, labels of source addresses, multicast routing."""
    for row in _rows(("ip", "-j", "nexthop"), gaps):
        if "dev" in row:
            via = f"via {row['gateway']} " if "gateway" in row else ""
            text = f"the next hop {row['id']} ({via}dev {row['dev']}) stays there: the routes that use it move along "
            text += "with its gateway only; whoever made it, such as a routing daemon, must create it again on {to}"
            yield row["dev"], text
    for row in _rows(("ip", "-j", "addrlabel"), gaps) if ipv6 else ():
        if link := row.get("ifname", ""):
            said = f"prefix {row['address']}/{row['prefixlen']} label {row['label']}"
            text = f"the address label of {row['address']}/{row['prefixlen']} is bound to this link, and selects no "
            yield link, text + f"source address on {{to}}; run 'ip addrlabel add {said} dev {{to}}'"
    for table in ("ip_mr_vif", "ip6_mr_vif"):
        try:
            lines = (PROC / "thread-self/net" / table).read_text().splitlines()[1:]
        except OSError:  # the kernel has no multicast routing
            continue
        for cells in map(str.split, lines):
            version = "IPv6" if "6" in table else "IPv4"
            text = (
                f"is an interface of multicast routing ({version}): multicast is not routed to its network any more, "
            )
            yield cells[1], text + "nor from it; let the multicast router use {to}, and restart it"


def _ipsec(gaps: list[str]) -> Iterator[tuple[str, str]]:
    """The link and the words of each policy of IPsec that is for one, and of each state that its hardware handles."""
    for kind in ("policy", "state"):
        about = ""
        for line in _ask(("ip", "xfrm", kind), gaps).splitlines():
            cells = line.split()
            if line.startswith("src "):
                about = f"{kind} {cells[1]} → {cells[3]}"
            if "dev" in cells[:-1]:
                offload = " in hardware" if "offload" in cells else ""
                yield cells[cells.index("dev") + 1], f"{about}{offload}"
