"""Nothing of a configuration gets lost: what stands in a file, and neither in the site file nor in a note, is told.

Readers know their formats, and have gaps that nobody thought of. This net knows none: it takes the files as lines and
the lines as words. An address, a MAC, a number or a link's name that was imported stands in what is written, in
whatever spelling; the line of each that does not is told with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from msgspec import Struct

from bascule.persist.config import NetworkConfig
from bascule.persist.parsed import Files, Unparsed, UnparsedLines, printable, without_secrets

_MAC = re.compile(r"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])")
_V4 = re.compile(r"(?<![0-9A-Za-z.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z.])")
_V6 = re.compile(r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![0-9A-Za-z:])")
_PREFIX = re.compile(r"(?<=~)/[0-9]{1,3}")  # behind an address, which was taken out before
_COLONS = re.compile(
    r"(?<![0-9A-Za-z_:.])(?=[0-9A-Fa-f:]*[0-9A-Fa-f])[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*(?![0-9A-Za-z_:])"
)  # fe80::1::
_NUMBER = re.compile(r"(?<![0-9A-Za-z_.+-])[0-9]{1,10}(?:\.[0-9]+)?(?=(?:ms|s|sec|min|MiB|GiB|KiB)?(?![0-9A-Za-z_.]))")
_WRITTEN = re.compile(r"(?<![0-9A-Za-z_.])[0-9]+(?:\.[0-9]+)?(?=(?:ms|s|min|MiB|GiB|KiB)?(?![0-9A-Za-z_]))")
_WORD = re.compile(r"(?<![0-9A-Za-z_.])[A-Za-z][A-Za-z0-9_.-]*")
_HUNDREDTHS = re.compile(
    r"BRIDGING_OPTS|/bridge/|forward_delay|hello_time|max_age|ageing_time"
)  # of a second, the kernel's
_THOUSANDTHS = re.compile(r"Sec\b|[0-9]m?s\b")  # where a site file may have seconds, or the other way round
_NAME = re.compile(
    r"(?<![0-9A-Za-z_./+@:-])(?=[a-z0-9_.-]*[0-9])[a-z][A-Za-z0-9_.-]{1,14}(?![0-9A-Za-z_/+@\[-]|:[^\s0-9])"
)
_NO_NAME = re.compile(
    r"(?:no)?(?:ipv?|inet|dhcpv?|gateway|v|q|layer|md|sha)[0-9]+(?:rs|[-_][a-z_-]+)?|version[0-9]*|x[0-9]+(?:_[0-9]+)?"
    r"|ipv[46]\.[a-z-]+[0-9]*"
)
_COMMENT = re.compile(r"^\s*(?:[#;]|<!--).*|(?<=\s)#.*")
_QUIET = re.compile(  # keys that name a file's own entry and say nothing of the network
    r"^\W*(?:export\s+)?(?:\w*uuid|timestamp|permissions|stable-id|hostname)\b\W*[=: ]", re.IGNORECASE
)
_NO_NUMBER = re.compile(  # netplan's version, the number of an alias, what others call by a name
    r"\bversion\W{0,2}: ?[0-9]\b|\bsleep [0-9.]+|\b([a-z][a-z0-9._-]*[0-9]):[0-9]{1,3}(?=[\s,]|$)"
    r"|\b(?:bond[-_])?(?:mode|xmit[-_]hash[-_]policy|lacp[-_]rate|ad[-_]select|fail[-_]over[-_]mac"
    r"|primary[-_]reselect|arp[-_]validate|arp[-_]all[-_]targets)[= ][0-9]\b|\bip-?proto(?:col)?[= ][0-9]{1,3}\b"
)
_STANDARDS = re.compile(r"802-3-ethernet|(?:ieee)?802[.-](?:3ad|1q|1ad)", re.IGNORECASE)
# of SUSE's scripts, where few keys are about the network
SETTINGS = {
    "etc/sysconfig/network/config",
    "etc/sysconfig/network/dhcp",
}
_BY_WORDS = re.compile(  # numbers that a reader takes, and that a site file says by a word
    r"(?:ip6-privacy|privext|IPV6_PRIVACY|net\.ipv6\.conf\.(?P<link>[^\s=]+)\.(?:use_tempaddr|accept_ra_\w+))[= ]"
    r"\"?(?:[0-2]|rfc[0-9]+)\b"
    r"|\bwake-on-lan=(?:0x)?[0-9a-f]+\b"
)
_DEFAULTS = (  # of the kernel, where a key says what would be so without it
    (re.compile(r"fd|delay", re.IGNORECASE), {4, 15}),
    (re.compile(r"hello", re.IGNORECASE), {2}),
    (re.compile(r"max-?_?age", re.IGNORECASE), {20}),
    (re.compile(r"age?ing", re.IGNORECASE), {300}),
    (re.compile(r"prio", re.IGNORECASE), {32, 128, 32768}),
    (re.compile(r"mtu", re.IGNORECASE), {1500}),
    (re.compile(r"table", re.IGNORECASE), {254}),
    (re.compile(r"maxwait|waitport|gcint", re.IGNORECASE), set(range(10_000))),  # how long ifup waits
)


BY_DEFAULT = "so it is by default"
_SIGNS = str.maketrans("={}[],;\"'", "         ")


class LostLines(Struct, frozen=True):
    """Lines with something that was not written: ``left`` is lost, ``default`` is so without a word."""

    left: tuple[Unparsed, ...]
    default: tuple[Unparsed, ...]


def missing_lines(
    files: Files, said: Iterable[str], notes: Iterable[str], left: Iterable[Unparsed], config: NetworkConfig
) -> LostLines:
    """The lines with something that stands neither in the site file nor in any of the notes.

    ``said`` is the site file, and the names of links that follow from it; ``config`` is what it means, defaults
    and all. Files that are ignored whole are no configuration.
    """
    left = tuple(left)
    written = _Words([*said, *notes, *(each.text for each in left)])
    kinds = {link.options for link in config.links.values()}
    meant = _Words({str(value) for options in kinds for value in options.as_json().values()})
    whole = {each.file for each in left if each.is_ignored_file}
    whole |= {path for path in files if path.startswith(("etc/systemd/system/", "etc/dhcp/"))}  # of programs
    shown: dict[str, dict[int, str]] = {}
    for each in left:
        shown.setdefault(each.file, {})[each.line] = each.text
    kept = {line for link in config.links.values() for line in link.hooks}
    lost, default = UnparsedLines(), UnparsedLines()
    seen: dict[str, list[str]] = {}  # the files of a large host are the same lines again and again
    for path, text in files.items():
        of_notes = shown.get(path, {})
        for number, line in enumerate(text.split("\n") if path not in whole else (), 1):
            words = seen.get(line)
            if words is None:
                words = seen[line] = [] if written.has_all(line) else list(_lost(line, written))
            if not words:
                continue
            if (note := of_notes.get(number)) and printable(without_secrets(line.strip())) in note:
                continue  # a note repeats it
            if kept and " ".join(line.split()) in kept:
                continue  # the site file does
            if path in SETTINGS:
                words = [word for word in words if ":" in word or _V4.fullmatch(word)]
            if words and all(meant.has_default(line, word) for word in words):
                default.add(path, number, line, BY_DEFAULT)
            elif words:
                lost.add(path, number, line, f"not said above: {', '.join(dict.fromkeys(words))}")
    return LostLines(lost.done(), default.done())


class _Words:
    """What stands in what was written."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.addresses: set[str] = set()
        self.macs: set[str] = set()
        self.prefixes: set[int] = set()
        self.numbers: set[float] = set()
        self.names: set[str] = set()
        self.no_addresses: set[str] = set()  # 10.0.0.300
        self.words: set[str] = set()
        self.known: dict[str, bool] = {}  # whether a word needs no closer look
        for text in texts:
            self.words.update(text.translate(_SIGNS).split())
            macs, addresses, rest = _apart(text)
            self.macs.update(macs)
            self.addresses.update(addresses)
            self.prefixes.update(int(word[1:]) for word in _PREFIX.findall(rest))
            self.numbers.update(int(word, 16) for word in re.findall(r"\b0x[0-9a-f]+", rest))
            self.no_addresses.update((*_V4.findall(rest), *_COLONS.findall(rest)))
            self.names.update(_WORD.findall(rest))
            self.numbers.update(map(float, _WRITTEN.findall(_WORD.sub(" ", _PREFIX.sub(" ", rest)))))

    def has_all(self, line: str) -> bool:
        """Whether every word of a line with a digit or a colon stands there as it is; most lines are soon done so."""
        known = self.known
        for word in line.translate(_SIGNS).split():
            is_known = known.get(word)
            if is_known is None:
                is_known = known[word] = word in self.words or not re.search("[0-9:]", word)
            if not is_known:
                return False
        return True

    def has_number(self, number: float) -> bool:
        """Whether a number stands there."""
        return number in {0, 1} or number in self.numbers

    def has_default(self, line: str, word: str) -> bool:
        """Whether a word of a line says what would be so without it: Bascule's default, or the kernel's."""
        if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", word):
            return False
        usual = {number for pattern, numbers in _DEFAULTS if pattern.search(line) for number in numbers}
        return any(number in usual or self.has_number(number) for number in _in_units(word, line))


def _in_units(word: str, line: str) -> Iterator[float]:
    """A number of a line as it may stand elsewhere: where it is a time, in another unit as well."""
    number = float(word) * (60 if f"{word}min" in line else 1)
    yield number
    if _HUNDREDTHS.search(line):
        yield number / 100
    if _THOUSANDTHS.search(line):
        yield from (number / 1000, number * 1000)


def _apart(text: str) -> tuple[list[str], list[str], str]:
    """The MACs and addresses of a text in one spelling, and the rest of it; a ~ stands for each address."""
    macs = [word.lower().replace("-", ":") for word in _MAC.findall(text)]
    text = _MAC.sub(" ", text) if macs else text
    addresses: list[str] = []

    def take(match: re.Match[str]) -> str:
        try:
            addresses.append(str(ip_address(match[0])))
        except ValueError:
            return match[0]
        return "~"

    text = _V4.sub(take, text)
    if text.count(":") > 1:
        text = _V6.sub(take, text)
    return macs, addresses, text


def _lost(line: str, known: _Words) -> Iterator[str]:
    if _QUIET.match(line):
        return
    line = without_secrets(_COMMENT.sub("", line))
    if not line.strip():
        return
    macs, addresses, rest = _apart(_STANDARDS.sub(" ", _BY_WORDS.sub(r" \g<link> ", line)))
    if addresses and all(ip_address(address).is_loopback for address in addresses):
        return
    yield from (mac for mac in macs if mac not in known.macs)
    for address in addresses:
        if address not in known.addresses and not _is_mask(address):
            yield address
    words = list(_lost_words(rest, known))
    if words and _NO_NUMBER.search(rest):
        words = list(_lost_words(_NO_NUMBER.sub(lambda match: match[1] or " ", rest), known))
    yield from words


def _lost_words(rest: str, known: _Words) -> Iterator[str]:
    """Lengths of prefixes, numbers and names."""
    yield from (word for word in (*_V4.findall(rest), *_COLONS.findall(rest)) if word not in known.no_addresses)
    yield from (word for word in _PREFIX.findall(rest) if int(word[1:]) not in {0, *known.prefixes})
    rest = _PREFIX.sub(" ", rest).strip().removeprefix("allow-").replace("[.]", ".")  # ifupdown's spellings of names
    key = re.split(r"[=:\s]", rest, maxsplit=1)[0]
    for word in _NUMBER.findall(rest):
        is_length = any(name in key.lower() for name in ("prefix", "netmask")) and float(word) in known.prefixes
        if not is_length and not any(map(known.has_number, _in_units(word, rest))):
            yield word
    is_assigned = rest[len(key) :].lstrip().startswith("=")  # to a key that may look like a name; YAML's are names
    for word in _NAME.findall(rest[len(key) :] if is_assigned else rest):
        if word not in known.names and not _NO_NAME.fullmatch(word) and not re.fullmatch(r"[0-9a-f]{6,}", word):
            yield word


def _is_mask(address: str) -> bool:
    """Whether it is a netmask, which the prefix length of an address says, or no address at all."""
    try:
        ip_network(f"0.0.0.0/{address}")
    except ValueError:
        return address in {"0.0.0.0", "::"}
    return True
