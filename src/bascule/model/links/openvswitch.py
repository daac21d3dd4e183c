"""A bridge of Open vSwitch as the other links of a host see it: what it keeps itself stands in its own database."""

from __future__ import annotations

from typing import Any, ClassVar

from bascule.model.links.bond import Bond
from bascule.model.links.bridge import Bridge
from bascule.model.links.plain import Veth
from bascule.model.links.vlan import Vlan

MAKER = "Open vSwitch"
TIME_TO_FORWARDING_S = 30.0  # two forward delays (stp-forward-delay in ovs-vswitchd.conf.db(5))


def management_socket(database: str, bridge: str) -> str:
    """Where a switch speaks OpenFlow, as ovs-ofctl(8) takes it: beside the socket of its database."""
    return f"unix:{database.rpartition('/')[0]}/{bridge}.mgmt"


class _OfTheSwitch:
    """Who makes it, and by what."""

    __slots__ = ()
    by_kernel: ClassVar[bool] = False
    maker: ClassVar[str] = MAKER
    tool: ClassVar[str] = "ovs-vsctl"


class OpenVSwitch(_OfTheSwitch, Bridge, frozen=True, kw_only=True):
    """Where ports and VLANs are like those of the kernel's bridges; the kernel makes and alters none of them.

    The link itself is the bridge's internal port, on which the host speaks.
    """

    kind: ClassVar[str] = "openvswitch-bridge"
    noun: ClassVar[str] = f"a bridge of {MAKER}"
    said: ClassVar[str] = "openvswitch"
    native: ClassVar[int] = 0  # kept apart from all VLANs

    forward_delay: int = 0  # of the kernel's bridges alone
    mcast_snooping: int = 0
    vlan_default_pvid: int = 0  # a port without a word carries all VLANs
    rstp: int = 0  # then stp_state is 1 as well
    fail_mode: str = ""
    datapath: str = ""  # netdev, or the kernel's own

    @property
    def time_to_forwarding_s(self) -> float:
        """With RSTP a port at which no other bridge speaks forwards at once."""
        return TIME_TO_FORWARDING_S if self.stp_state and not self.rstp else 0.0

    def site_keys(self) -> dict[str, Any]:
        """Its spanning tree, and what else is no matter of the kernel's."""
        out: dict[str, Any] = {"rstp": True} if self.rstp else {"stp": True} if self.stp_state else {}
        out |= {"fail_mode": self.fail_mode} if self.fail_mode else {}
        out |= {"snooping": True} if self.mcast_snooping else {}
        return out | ({"datapath": self.datapath} if self.datapath else {})

    def mark_lost(self, name: str, alias: str | None, mark: str) -> tuple[str, str]:
        """Its mark stands in the database, whatever the alias of its internal port is."""
        return "external_ids", f"ovs-vsctl set bridge {name} external_ids:{mark.replace(':', '=', 1)}"

    @property
    def traits(self) -> tuple[str, ...]:
        """With who makes it."""
        return (MAKER, *("RSTP" if words == "STP" and self.rstp else words for words in super().traits))


class OpenVSwitchBond(_OfTheSwitch, Bond, frozen=True, kw_only=True):
    """Several NICs as one port of Open vSwitch; the kernel knows nothing of it."""

    kind: ClassVar[str] = "openvswitch-bond"
    noun: ClassVar[str] = f"a bond of {MAKER}"
    said: ClassVar[str] = "openvswitch"
    alone: ClassVar[tuple[str, ...]] = ("balance-slb", "balance-tcp")
    is_link: ClassVar[bool] = False
    fixed: ClassVar[frozenset[str]] = frozenset()

    lacp: str = ""  # active, passive, or off


class InternalPort(_OfTheSwitch, Vlan, frozen=True, kw_only=True):
    """A port with a tag on which the host itself speaks: what a VLAN link over the bridge is, made by the switch."""

    kind: ClassVar[str] = "openvswitch-internal"
    noun: ClassVar[str] = f"an internal port of {MAKER}"


class PatchPort(_OfTheSwitch, Veth, frozen=True, kw_only=True):
    """One end of a cable between two bridges, of which the kernel knows nothing; the other end is its ``parent``."""

    kind: ClassVar[str] = "openvswitch-patch"
    noun: ClassVar[str] = f"a patch port of {MAKER}"
    word: ClassVar[str] = "patch port"
    is_link: ClassVar[bool] = False
