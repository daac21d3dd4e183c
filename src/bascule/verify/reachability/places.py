"""From which file a rule comes: the line of it, or the file that a program made it from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import ParseError, fromstring

from msgspec import Struct

from bascule.topology.trace.rules.evaluate import MatchedLine
from bascule.topology.trace.rules.lines import RuleChain

UNKNOWN = "not from a known file"
NFT = ("etc/nftables.conf", "etc/sysconfig/nftables.conf")
IPTABLES = {
    "ip": ("etc/iptables/rules.v4", "etc/sysconfig/iptables", "etc/iptables.rules"),
    "ip6": ("etc/iptables/rules.v6", "etc/sysconfig/ip6tables", "etc/ip6tables.rules"),
}
UFW = {
    "ip": ("etc/ufw/before.rules", "etc/ufw/user.rules", "etc/ufw/after.rules"),
    "ip6": ("etc/ufw/before6.rules", "etc/ufw/user6.rules", "etc/ufw/after6.rules"),
}
UFW_POLICIES = "etc/default/ufw"
UFW_SWITCH = "etc/ufw/ufw.conf"
ZONES = ("etc/firewalld/zones", "usr/lib/firewalld/zones")
ZONE = re.compile(
    r"(?:filter|nat|mangle|raw)_(?:FWD|FWDI|FWDO|IN|OUT|POST|PRE)_([A-Za-z0-9_-]+?)(?:_(?:pre|log|deny|allow|post))?"
)
NETWORKS = "etc/libvirt/qemu/networks"
FILE_MAX = 4 << 20  # bytes; a list of addresses that is larger is no file of rules that a person edits


class LibvirtForward(Struct, frozen=True, kw_only=True):
    """How a libvirt network forwards: ``mode`` is empty where it does not; ``is_plain`` without more words to it."""

    name: str
    mode: str
    is_plain: bool


class Places:
    """Reads the files of firewalls below a root when it is first asked."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)

    def of(self, chain: RuleChain, hit: MatchedLine | None) -> str:
        """``/etc/nftables.conf:17`` of a line, or of the policy of a base chain where no line is given."""
        own = hit.chain if hit is not None else chain
        text = hit.line.text if hit is not None else ""
        if own.backend != "nft":
            found = self._iptables(own, text) or self._network(text) or ("" if text else self._ufw_policy(own))
            if found or own.is_legacy:
                return found or UNKNOWN
        if own.table == "firewalld":
            return self._zone(own.name) or UNKNOWN
        if own.table == "libvirt_network":
            return self._network(text) or UNKNOWN
        return self._nft.get((own.family, own.table, own.name, _plain(text)), UNKNOWN)

    def _read(self, name: str) -> list[str]:
        path = self.root / name
        try:
            if path.stat().st_size > FILE_MAX:
                return []
            return path.read_text(errors="replace").splitlines()
        except OSError:
            return []

    def _iptables(self, chain: RuleChain, text: str) -> str:
        for name in (*IPTABLES.get(chain.family, ()), *UFW.get(chain.family, ())):
            table = ""
            for number, line in enumerate(self._read(name), 1):
                if line.startswith("*"):
                    table = line[1:].strip()
                if table != chain.table:
                    continue
                policy = not text and line.startswith(f":{chain.name} ")
                if policy or (text and _plain(line) == _plain(text)):
                    return f"/{name}:{number}"
        return ""

    def _ufw_policy(self, chain: RuleChain) -> str:
        """Where ufw has the policy of a chain from, if ufw is switched on and says the same."""
        if chain.base is None or "ENABLED=yes" not in self._read(UFW_SWITCH):
            return ""
        wanted = f'DEFAULT_{chain.name}_POLICY="{chain.base.policy.upper()}"'
        lines = [number for number, line in enumerate(self._read(UFW_POLICIES), 1) if line.strip() == wanted]
        return f"/{UFW_POLICIES}:{lines[-1]}" if lines else ""

    def _zone(self, chain: str) -> str:
        found = ZONE.fullmatch(chain)
        for folder in ZONES if found else ():
            path = self.root / folder / f"{found[1] if found else ''}.xml"
            if path.is_file():
                return f"/{path.relative_to(self.root)}"
        return ""

    def _network(self, text: str) -> str:
        links = set(re.findall(r'"([^"]+)"|-[io] (\S+)', text))
        names = {name for pair in links for name in pair if name}
        for path in sorted((self.root / NETWORKS).glob("*.xml")):
            for number, line in enumerate(self._read(str(path.relative_to(self.root))), 1):
                if any(f"name='{name}'" in line or f'name="{name}"' in line for name in names):
                    return f"/{path.relative_to(self.root)}:{number}"
        return ""

    def libvirt_forward(self, bridge: str) -> LibvirtForward | None:
        """What the definition of the libvirt network with this bridge says; None where there is none."""
        for path in sorted((self.root / NETWORKS).glob("*.xml")):
            try:
                root = fromstring("\n".join(self._read(str(path.relative_to(self.root)))))
            except ParseError:
                continue
            own, forward, name = root.find("bridge"), root.find("forward"), root.findtext("name", "").strip()
            if own is not None and own.get("name") == bridge and name:
                if forward is None:
                    return LibvirtForward(name=name, mode="", is_plain=True)
                is_plain = not len(forward) and set(forward.attrib) <= {"mode"}
                return LibvirtForward(name=name, mode=forward.get("mode", "nat"), is_plain=is_plain)
        return None

    @cached_property
    def _nft(self) -> dict[tuple[str, str, str, str], str]:
        """The place of each line by family, table, chain and words; of a policy the words are empty."""
        found: dict[tuple[str, str, str, str], str] = {}
        for name in NFT:
            self._scan(name, found, depth=0)
        return found

    def _scan(self, name: str, found: dict[tuple[str, str, str, str], str], *, depth: int) -> None:
        family = table = chain = ""
        for number, raw in enumerate(self._read(name), 1):
            line = raw.partition("#")[0].strip().rstrip(";").strip()
            if line.startswith("include ") and depth < 8:
                for included in self._included(line.split(maxsplit=1)[1].strip('"')):
                    self._scan(included, found, depth=depth + 1)
            elif opened := re.match(r"table\s+(?:(\w+)\s+)?(\S+?)\s*\{", line):
                family, table, chain = opened[1] or "ip", opened[2], ""
            elif opened := re.match(r"chain\s+(\S+?)\s*\{", line):
                chain = opened[1]
            elif chain and line.startswith("type "):
                found.setdefault((family, table, chain, ""), f"/{name}:{number}")
            elif chain and line and line != "}":
                found.setdefault((family, table, chain, _plain(line)), f"/{name}:{number}")

    def _included(self, pattern: str) -> Iterator[str]:
        for path in sorted(self.root.glob(pattern.lstrip("/"))):
            if path.is_file():
                yield str(path.relative_to(self.root))


def _plain(text: str) -> str:
    """Words without what does not count: spaces, quotes, counters' numbers, and how a comma is written."""
    text = re.sub(r"counter packets \d+ bytes \d+", "counter", text.replace('"', ""))
    text = re.sub(r"\s*,\s*", ",", text).replace("{ ", "{").replace(" }", "}")
    return " ".join(text.split())
