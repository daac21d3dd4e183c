"""From where one can ask, and where one can listen: the same shape for a twin and for a live host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bascule.model.values import IfName, IpInterface, Mac
from bascule.system.netns import Namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Foot:
    """A NIC of an endpoint (host, guest or machine) from which questions can be asked.

    ``network`` is the building's network behind it or a host's virtual one (as ``lab of vmhost``), None on a bridge
    without NIC.
    """

    endpoint: str
    namespace: Namespace
    link: IfName
    mac: Mac
    addresses: tuple[IpInterface, ...] = ()
    network: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A link where passing frames can be seen. ``node`` is the endpoint or switch that it belongs to."""

    node: str
    namespace: Namespace
    link: IfName
    master: IfName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All feet by endpoint, all points, and the namespace of each host."""

    feet: Mapping[str, tuple[Foot, ...]] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    hosts: Mapping[str, Namespace] = field(default_factory=dict)
