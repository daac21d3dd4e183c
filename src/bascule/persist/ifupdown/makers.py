"""Commands in hooks that make links of kinds that are not taken: such links are no hardware, whatever stanzas say."""

from __future__ import annotations

import re
from collections.abc import Iterator

TAKEN = {"vlan", "bridge", "bond"}
_IP = re.compile(r"\bip (?:-\S+ )*(?P<object>link|tuntap|tunnel|tun|l2tp) add (?P<words>[^;&|]*)")
_OTHERS = (
    (re.compile(r"\b(?:tunctl|openvpn|openvpn\S*) [^;&|]*?(?:-t|--dev) (?P<name>[\w.-]+)"), "a tap"),
    (re.compile(r"\bwg-quick up (?P<name>[\w.-]+)"), "a wireguard"),
    (re.compile(r"\biw dev \S+ interface add (?P<name>[\w.-]+)"), "wireless"),
    (re.compile(r"\bbatctl (?:meshif )?(?P<name>[\w.-]+) interface create"), "a mesh"),
    (re.compile(r"\bteamd [^;&|]*?-t (?P<name>[\w.-]+)"), "a team"),
)
_MAY_MAKE = re.compile(r"\badd\b|tunctl|openvpn|wg-quick|batctl|teamd")  # soon looked for
_KEYS = {"name", "dev", "link", "mode", "type", "user", "group", "peer"}


def made_by(command: str, link: str) -> Iterator[tuple[str, str]]:
    """The links that a command of ``link``'s stanza makes, each with what it is."""
    if not _MAY_MAKE.search(command):
        return
    text = re.sub(r"\s+", " ", re.sub(r"\$\{?IFACE\}?", lambda _: link, command))
    for found in _IP.finditer(text):
        yield from _of_ip(found["object"], found["words"].split())
    for pattern, kind in _OTHERS:
        yield from ((found["name"], kind) for found in pattern.finditer(text))


def _of_ip(what: str, words: list[str]) -> Iterator[tuple[str, str]]:
    """``link eth0 name mac0 type macvlan mode bridge``, ``veth0 type veth peer name veth1``, ``tap0 mode tap``."""
    said: dict[str, str] = {}
    peers: list[str] = []
    rest = [word.strip("'\"") for word in words]
    while rest:
        word = rest.pop(0)
        if word == "peer" and rest[:1] == ["name"]:
            peers += rest[1:2]
            rest = rest[2:]
        elif word in _KEYS and rest:
            said.setdefault(word, rest.pop(0))
        else:
            said.setdefault("first", word)
    name = said.get("name") or (said.get("dev") if what != "link" or "link" not in said else "") or said.get("first")
    kind = {"link": said.get("type", ""), "tuntap": said.get("mode", "tap"), "tun": said.get("mode", "tap")}.get(what)
    if name and kind not in TAKEN and kind != "":
        yield from ((each, f"a {kind or 'tunnel'}") for each in (name, *peers))
