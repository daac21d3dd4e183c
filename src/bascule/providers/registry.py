"""Who keeps which part of a host's state: the one list, in the order in which their parts build on one another."""

from __future__ import annotations

from bascule.providers.boot_flows import BOOT_FLOWS
from bascule.providers.boot_rules import BOOT_RULES
from bascule.providers.dnsmasq import DNSMASQ
from bascule.providers.files import FILES
from bascule.providers.kernel import KERNEL
from bascule.providers.libvirt import LIBVIRT
from bascule.providers.nft import NFT
from bascule.providers.ovs import OVS
from bascule.providers.protocol import Provider
from bascule.providers.qemu import QEMU
from bascule.providers.shaping import SHAPING
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.wake_on_lan import WAKE_ON_LAN

PROVIDERS: tuple[Provider, ...] = (
    *(KERNEL, NFT, OVS, BOOT_RULES, BOOT_FLOWS, DNSMASQ),
    *(LIBVIRT, QEMU, SHAPING, STATIC_FDB, WAKE_ON_LAN, FILES),
)


def of_tool(tool: str) -> Provider:
    """The provider that executes the commands of a tool."""
    return _BY_TOOL[tool]


_BY_TOOL = {tool: provider for provider in PROVIDERS for tool in provider.tools}
