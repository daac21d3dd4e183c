"""Kernel modules that guests' networking needs."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

_ALWAYS = {"tun": "taps", "bridge": "bridges"}


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Those that are neither loaded nor built in; most are loaded on first use."""
    if facts.modules is None:
        return
    needed = dict(_ALWAYS)
    if facts.kvm_device:
        needed["vhost_net"] = "fast NICs of KVM guests"
    if facts.site and facts.host:
        host = facts.site.hosts[facts.host]
        if host.vlans or any(bridge.vlan for bridge in host.bridges.values()):
            needed["8021q"] = "VLANs"
        if host.bonds:
            needed["bonding"] = "bonds"
        if any(nic.shared_nic for nic in facts.site.guest_nics(facts.host)):
            needed["macvtap"] = "direct NICs"
    gone = {name: why for name, why in needed.items() if name not in facts.modules}
    if gone:
        yield Finding(
            id="modules",
            severity=Severity.NOTE,
            subject="kernel modules",
            text="not loaded: " + ", ".join(f"{name} ({why})" for name, why in gone.items()),
            evidence=("/proc/modules, /sys/module",),
            fix=f"modprobe -a {' '.join(gone)}; the kernel loads them on first use where it may",
        )
    else:
        yield Finding(
            id="modules", severity=Severity.OK, subject="kernel modules", text=f"{', '.join(needed)} are there"
        )
