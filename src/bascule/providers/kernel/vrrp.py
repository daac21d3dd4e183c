"""Addresses that a program of VRRP (RFC 9568) or CARP gives to the machine that is the master just now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from msgspec.structs import replace

from bascule.model.state import Address, HostState
from bascule.system.process.programs import Program, programs

PROC = Path("/proc/thread-self/net")
VRRP = f":{112:04X}"  # its number among the protocols of IP, as /proc/net/raw has it
GROUP = "120000E0"  # 224.0.0.18, as /proc/net/igmp has it
USUAL = Path("/etc/keepalived/keepalived.conf")
BLOCK = re.compile(r"\bvirtual_ipaddress(?:_excluded)?\s*\{([^}]*)")  # keepalived.conf(5)
COMMENT = re.compile(r"[!#].*")
INCLUDE = re.compile(r"^\s*include\s+(\S+)", re.MULTILINE)
DEPTH_MAX = 8  # of files that include others


def with_keepers(state: HostState) -> HostState:
    """The state of the namespace that we are in, with the program behind each address that one keeps."""
    if sum(len(link.addresses) for name, link in state.links.items() if name != "lo") < 2 or not _has_listener():
        return state
    keepers = {ip: words for program in programs() for ip, words in _kept(program)}
    return replace(
        state,
        links={
            name: replace(link, addresses=tuple(_known(address, keepers) for address in link.addresses))
            if any(address.local in keepers for address in link.addresses)
            else link
            for name, link in state.links.items()
        },
    )


def _known(address: Address, keepers: Mapping[str, str]) -> Address:
    keeper = keepers.get(address.local, "")
    return replace(address, lifetime=replace(address.lifetime, kept_by=keeper)) if keeper else address


def _has_listener() -> bool:
    """Whether anybody here listens to the protocol: hardly any host does, and to look at every process takes longer."""
    return any(sign in _text(PROC / name) for name, sign in (("raw", VRRP), ("raw6", VRRP), ("igmp", GROUP)))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _kept(program: Program) -> Iterator[tuple[str, str]]:
    """The addresses that a program may give to this machine, with what it is and where it says so."""
    name, *words = Path(program.argv[0]).name, *program.argv[1:]
    if name == "ucarp":
        found = dict(_options(words))
        yield from ((ip, f"ucarp (process {program.pid})") for ip in (found.get("-a"), found.get("--addr")) if ip)
    elif name == "keepalived":
        found = dict(_options(words))
        path = Path(found.get("-f") or found.get("--use-file") or USUAL)
        yield from ((ip, f"keepalived ({where})") for ip, where in virtual_addresses(path))


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """``--addr=1.2.3.4``, ``--addr 1.2.3.4`` and ``-a1.2.3.4``, each with its value."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            yield name, value if equals else after
        elif word.startswith("-"):
            yield word[:2], word[2:] or after


def virtual_addresses(path: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The addresses of a configuration of keepalived and of those that it includes, each with its file and line."""
    text = "\n".join(COMMENT.sub("", line) for line in _text(path).splitlines())
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        for number, line in enumerate(block[1].splitlines(), first):
            try:
                yield str(ip_address(line.split()[0].partition("/")[0])), f"{path}:{number}"
            except (ValueError, IndexError):
                continue
    for named in INCLUDE.findall(text) if depth < DEPTH_MAX else ():
        for one in sorted(path.parent.glob(named) if not named.startswith("/") else Path("/").glob(named[1:])):
            yield from virtual_addresses(one, depth + 1)
