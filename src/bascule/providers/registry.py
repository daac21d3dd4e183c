"""Who keeps which part of a host's state: the one list, in the order in which their parts build on one another."""

from __future__ import annotations

from typing import cast

from bascule.model.state import HostState
from bascule.providers.boot_rules import BOOT_RULES
from bascule.providers.dnsmasq import DNSMASQ
from bascule.providers.files import FILES
from bascule.providers.kernel import KERNEL
from bascule.providers.libvirt import LIBVIRT
from bascule.providers.nft import NFT
from bascule.providers.ovs import OVS
from bascule.providers.ovs.boot_flows import BOOT_FLOWS
from bascule.providers.protocol import KeptSwitches, Provider, SwitchProvider
from bascule.providers.qemu import QEMU
from bascule.providers.shaping import SHAPING
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.wake_on_lan import WAKE_ON_LAN

PROVIDERS: tuple[Provider, ...] = (
    *(KERNEL, NFT, OVS, BOOT_RULES, BOOT_FLOWS, DNSMASQ),
    *(LIBVIRT, QEMU, SHAPING, STATIC_FDB, WAKE_ON_LAN, FILES),
)
SWITCH_PROVIDERS = tuple(cast(SwitchProvider, one) for one in PROVIDERS if one.keeps_links)


def switches_of(state: HostState) -> tuple[KeptSwitches, ...]:
    """What providers of switches have in a state."""
    return tuple(part for one in SWITCH_PROVIDERS if (part := one.part(state)) is not None)


def switches_with(state: HostState, bridge: str) -> KeptSwitches | None:
    """Those that have a bridge that is not the kernel's."""
    return next((one for one in switches_of(state) if bridge in one.bridges), None)


def of_tool(tool: str) -> Provider:
    """The provider that executes the commands of a tool."""
    return _BY_TOOL[tool]


_BY_TOOL = {tool: provider for provider in PROVIDERS for tool in provider.tools}
