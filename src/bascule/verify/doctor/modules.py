"""What guests' networking needs of the kernel: modules, and kinds of links."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

_ALWAYS = {"tun": "taps", "bridge": "bridges"}


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Those that are neither loaded nor built in; most are loaded on first use. And what the kernel does not make."""
    yield from _unmade(facts)
    if facts.modules is None:
        return
    needed = dict(_ALWAYS)
    if facts.kvm_device:
        needed["vhost_net"] = "fast NICs of KVM guests"
    kinds = _kinds(facts)
    if "vlan" in kinds:
        needed["8021q"] = "VLANs"
    if "bond" in kinds:
        needed["bonding"] = "bonds"
    if any(nic.shared_nic for nic in facts.declared_nics):
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


def _unmade(facts: DoctorFacts) -> Iterator[Finding]:
    """Kinds of links that the kernel was asked for and did not make; a plan or a rehearsal that has one stops there."""
    kinds = _kinds(facts)
    if facts.unmade is None and kinds:
        yield Finding(
            id="kernel",
            severity=Severity.NOTE,
            subject="kernel",
            text=f"whether it makes all links that the site file needs on {facts.host} was not asked",
            evidence=("this user may make no network namespace to try them in",),
            fix="run it as root",
        )
    if not facts.unmade:
        return
    needed = [what for kind, what, _ in facts.unmade if kind in kinds]
    words = f"this kernel makes no {', no '.join(what for _, what, _ in facts.unmade)}"
    yield Finding(
        id="kernel",
        severity=Severity.PROBLEM if needed else Severity.NOTE,
        subject="kernel",
        text=f"{words}; the site file needs {' and '.join(needed)} on {facts.host}" if needed else words,
        evidence=("one of each was tried in a network namespace of its own",),
        fix=f"load their modules ({'; '.join(module for *_, module in facts.unmade)}), or boot a kernel that has them",
    )


def _kinds(facts: DoctorFacts) -> set[str]:
    """The kinds of links that the file has on this host and that not every kernel makes."""
    host = facts.declared
    if host is None:
        return set()
    has = {
        "vlan": bool(host.vlans) or any(bridge.vlan for bridge in host.bridges.values()),
        "bond": any(bond.by_kernel for bond in host.bonds.values()),
        "filtering": any(bridge.vlan_aware and bridge.by_kernel for bridge in host.bridges.values()),
    }
    return {kind for kind, is_there in has.items() if is_there}
