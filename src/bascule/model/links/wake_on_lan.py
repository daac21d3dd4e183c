"""What wakes a machine by one of its NICs: the words of the site file, of ethtool and of the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct

OFF = "off"


class WakeMode(Struct, frozen=True):
    """One kind of packet: its letter for ethtool (ethtool(8)), and its bit in the kernel (WAKE_* in ethtool.h)."""

    letter: str
    bit: int


MODES: Mapping[str, WakeMode] = MappingProxyType(
    {
        "magic": WakeMode("g", 1 << 5),
        "phy": WakeMode("p", 1 << 0),
        "unicast": WakeMode("u", 1 << 1),
        "multicast": WakeMode("m", 1 << 2),
        "broadcast": WakeMode("b", 1 << 3),
        "arp": WakeMode("a", 1 << 4),
    }
)
Modes = tuple[str, ...]  # in the order of MODES; empty: nothing wakes it


MAGIC: Modes = ("magic",)
_MANAGER_DEFAULT = {0x1, 0x8000}  # NetworkManager's own choice, and what it leaves alone (NMSettingWiredWakeOnLan)


def in_order(words: Iterable[str]) -> Modes:
    """The same modes as they are compared. Raises ValueError for a word that is none."""
    said = set(words) - {OFF}
    if wrong := said - MODES.keys():
        raise ValueError(f"'{min(wrong)}' is no kind of packet that wakes a machine")
    return tuple(word for word in MODES if word in said)


def of_bits(bits: int) -> Modes:
    """From the kernel's mask; a bit that no word stands for is left out."""
    return tuple(word for word, mode in MODES.items() if bits & mode.bit)


def manager_flags(modes: Modes) -> int:
    """NetworkManager's mask, whose bits are the kernel's one place further up."""
    return sum(MODES[word].bit << 1 for word in modes)


def of_manager_flags(text: str) -> Modes | None:
    """From NetworkManager's mask; None where it says that nobody has chosen. Raises ValueError for other bits."""
    flags = int(text, 0)
    if flags in _MANAGER_DEFAULT:
        return None
    modes = of_bits(flags >> 1)
    if manager_flags(modes) != flags:
        raise ValueError(f"'{text}' has packets that a site file has no key for")
    return modes


def of_letters(text: str) -> Modes:
    """From ethtool's letters, as ``pg`` or ``d``. Raises ValueError for a letter that is none of them."""
    by_letter = {mode.letter: word for word, mode in MODES.items()}
    if wrong := set(text) - by_letter.keys() - {"d"}:
        raise ValueError(f"'{min(wrong)}' of wol {text} is not taken")
    return in_order(by_letter[letter] for letter in text if letter != "d")


def letters(modes: Modes) -> str:
    """For ethtool."""
    return "".join(MODES[word].letter for word in modes) or "d"


def wake_words(modes: Modes) -> str:
    """For people, and for systemd: the kinds of packets, or ``off``."""
    return " ".join(modes) or OFF


def ethtool_words(text: str) -> Modes:
    """The modes in ``wol g`` or ``-s eth0 wol g``, as some files have them. Raises ValueError for other words."""
    words = text.replace("=", " ").split()
    if words[:1] in (["-s"], ["--change"]):
        words = words[2:]
    if len(words) != 2 or words[0] != "wol":
        raise ValueError(f"'{text}' is not of wake-on-LAN alone")
    return of_letters(words[1])
