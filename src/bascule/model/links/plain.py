"""Links without options that Bascule sets: hardware, taps, veth pairs and the ones it only looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from bascule.model.links.options import LinkOptions


class Physical(LinkOptions, frozen=True, kw_only=True):
    """A NIC of the hardware (the kernel reports no kind)."""

    kind: ClassVar[str] = ""
    virtual: ClassVar[bool] = False


class Loopback(LinkOptions, frozen=True, kw_only=True):
    """The loopback link of a network namespace."""

    kind: ClassVar[str] = "loopback"
    virtual: ClassVar[bool] = False


class Tap(LinkOptions, frozen=True, kw_only=True):
    """A tun or tap link; it lives as long as its process holds it, unless it is persistent."""

    kind: ClassVar[str] = "tun"
    virtual: ClassVar[bool] = False

    fixed: ClassVar[frozenset[str]] = frozenset({"type", "persist"})

    type: str = "tun"
    persist: bool = False


class Veth(LinkOptions, frozen=True, kw_only=True):
    """One end of a virtual cable."""

    kind: ClassVar[str] = "veth"
    word: ClassVar[str] = "veth"  # in pictures
    virtual: ClassVar[bool] = False


class Macvtap(LinkOptions, frozen=True, kw_only=True):
    """A guest's end that sits directly on a NIC, beside the host's stack."""

    kind: ClassVar[str] = "macvtap"

    fixed: ClassVar[frozenset[str]] = frozenset({"mode"})

    mode: str = "vepa"


class Dummy(LinkOptions, frozen=True, kw_only=True):
    """A link that swallows what it is given."""

    kind: ClassVar[str] = "dummy"


class Other(LinkOptions, frozen=True, kw_only=True):
    """A kind that Bascule has no file for: seen, drawn, never made or changed."""

    virtual: ClassVar[bool] = False

    fixed: ClassVar[frozenset[str]] = frozenset({"info_kind"})

    info_kind: str = ""

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """The kind's name is all that is kept."""
        return cls(info_kind=str(info.get("info_kind", "")))
