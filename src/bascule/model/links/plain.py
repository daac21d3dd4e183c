"""Links without options that Bascule sets: hardware, taps, veth pairs and the ones it only looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from bascule.model.links.options import LinkOptions, option
from bascule.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Physical(LinkOptions):
    """A NIC of the hardware (the kernel reports no kind)."""

    kind: ClassVar[str] = ""
    virtual: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loopback(LinkOptions):
    """The loopback link of a network namespace."""

    kind: ClassVar[str] = "loopback"
    virtual: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap(LinkOptions):
    """A tun or tap link; it lives as long as its process holds it, unless it is persistent."""

    kind: ClassVar[str] = "tun"
    virtual: ClassVar[bool] = False

    type: str = option("tun", fixed=True)
    persist: bool = option(False, fixed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Veth(LinkOptions):
    """One end of a virtual cable."""

    kind: ClassVar[str] = "veth"
    virtual: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Macvtap(LinkOptions):
    """A guest's end that sits directly on a NIC, beside the host's stack."""

    kind: ClassVar[str] = "macvtap"

    mode: str = option("vepa", fixed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dummy(LinkOptions):
    """A link that swallows what it is given."""

    kind: ClassVar[str] = "dummy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(LinkOptions):
    """A kind that Bascule has no file for: seen, drawn, never made or changed."""

    virtual: ClassVar[bool] = False

    info_kind: str = option("", fixed=True)

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """The kind's name is all that is kept."""
        return cls(info_kind=str(info.get("info_kind", "")))
