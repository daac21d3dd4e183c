"""Whether the processor runs guests: the extension, the module, and a probe guest that ran."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """KVM, or why not."""
    evidence = [
        "/dev/kvm is there" if facts.kvm_device else "/dev/kvm is not there",
        f"/proc/cpuinfo has {', '.join(facts.kvm_flags)}"
        if facts.kvm_flags
        else "/proc/cpuinfo has neither vmx nor svm",
    ]
    if facts.kvm_works:
        yield Finding(id="kvm", severity=Severity.OK, subject="KVM", text=facts.kvm_reason, evidence=tuple(evidence))
        return
    if facts.kvm_works is None:
        yield Finding(
            id="kvm",
            severity=Severity.NOTE,
            subject="KVM",
            text=f"not tried: {facts.kvm_reason}",
            evidence=tuple(evidence),
            fix="install QEMU and run this again",
        )
        return
    if facts.kvm_forbidden and facts.kvm_group:
        fix = f"add yourself to the group {facts.kvm_group} (usermod -aG {facts.kvm_group} YOU), and log in again; "
        fix += "or run it as root"
    elif facts.kvm_forbidden:
        fix = "run it as root, or open the device to a group: chgrp kvm /dev/kvm; chmod 660 /dev/kvm"
    elif not facts.kvm_flags:
        fix = "switch VT-x or AMD-V on in the firmware; in a virtual machine, enable nested virtualisation on its host"
    elif not facts.kvm_device:
        fix = "modprobe " + ("kvm_intel" if "vmx" in facts.kvm_flags else "kvm_amd")
    else:
        fix = "in a virtual machine, nested virtualisation must be on at its host"
    yield Finding(
        id="kvm",
        severity=Severity.PROBLEM,
        subject="KVM",
        text=f"guests would be emulated, which is far slower: {facts.kvm_reason}",
        evidence=tuple(evidence),
        fix=fix,
    )
