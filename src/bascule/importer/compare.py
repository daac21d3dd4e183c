"""The kernel's configuration and that of the files: where they disagree, and what both say together."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.compare import differences
from bascule.persist.config import LinkConfig, NetworkConfig, replace_fields
from bascule.persist.formats.rules import rule_words


def conflicts(kernel: NetworkConfig, files: NetworkConfig) -> Iterator[str]:
    """Where the files, which decide at the next boot, say something else than the kernel has."""
    for name in sorted({*kernel.links, *files.links}):
        have, say = kernel.links.get(name), files.links.get(name)
        if say is None:
            if have is not None and (have.options.kind or have.addresses):
                yield f"{name}: the kernel has it, no file configures it: it is gone after a reboot"
        elif have is None:
            if say.onboot:
                yield f"{name}: configured in the files, but the kernel does not have it"
        else:
            if have.onboot and not say.onboot:
                yield f"{name}: is up, but its files do not bring it up at boot"
            known = replace_fields(have, client_id=say.client_id)  # of which the kernel knows nothing
            yield from differences(name, known, say, "in the kernel", "in the files")
    yield from _rule_conflicts(kernel, files)


def _rule_conflicts(kernel: NetworkConfig, files: NetworkConfig) -> Iterator[str]:
    """Policy rules that only one of the two has; a daemon may have made what no file says."""
    for rule in kernel.rules:
        if rule not in files.rules:
            yield f"rule {rule_words(rule)}: the kernel has it, no file says it: left to whoever made it"
    for rule in files.rules:
        if rule not in kernel.rules:
            yield f"rule {rule_words(rule)}: in the files, but the kernel does not have it"


def together(kernel: NetworkConfig, files: NetworkConfig) -> NetworkConfig:
    """The kernel's facts, with what only files can say: DHCP, name servers, hardware pins."""
    links: list[LinkConfig] = []
    for name, have in kernel.links.items():
        say = files.links.get(name)
        if say is None:
            links.append(replace_fields(have, mac=None) if have.is_bridge else have)
            continue
        links.append(
            LinkConfig(
                name=name,
                options=have.options,
                master=have.master,
                parent=have.parent,
                pin_mac=say.pin_mac,
                pin_path=say.pin_path,
                mac=say.mac if have.is_bridge else have.mac,  # a bridge has its uplink's, where nobody says another
                mtu=have.mtu,
                dhcp4=have.dhcp4 or say.dhcp4,
                client_id=say.client_id,
                metric=say.metric,
                ipv6=have.ipv6,
                addresses=have.addresses,
                routes=have.routes,
                dns=say.dns,
                search=say.search,
                port=have.port,
                vlans=have.vlans,
                onboot=have.onboot,
            )
        )
    return NetworkConfig.of(links, files.unmanaged, [r for r in kernel.rules if r in files.rules or not files.links])
