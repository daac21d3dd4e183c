"""A wireless NIC as an uplink: the access point takes frames of one MAC only, so guests behind it stay mute."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import PlugKind
from bascule.verify.doctor.finding import Facts, Finding, Severity


def look(facts: Facts) -> Iterator[Finding]:
    """Declared uplinks and macvtap NICs that are wireless."""
    if not (facts.site and facts.host):
        return
    host = facts.site.hosts[facts.host]
    uses = [
        (str(nic.name), f"the uplink of {bridge.name}")
        for bridge in host.bridges.values()
        for nic in host.uplink_nics(bridge)
    ]
    uses += [
        (nic.into, f"what {nic.guest} is plugged into")
        for nic in facts.site.guest_nics(facts.host)
        if nic.plug is PlugKind.DIRECT
    ]
    for name, use in dict.fromkeys(uses):
        if name in facts.wireless:
            yield Finding(
                id="wireless",
                severity=Severity.PROBLEM,
                subject=name,
                text=f"it is wireless and {use}: an access point takes frames of the NIC's own MAC only, "
                "so no guest is ever answered",
                evidence=(f"/sys/class/net/{name}/wireless",),
                fix="use a wired NIC, or a virtual network (mode: nat or routed)",
            )
