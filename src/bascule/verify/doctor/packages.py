"""The programs that guests need, and the line that installs them here."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity

_PROGRAMS = {  # program: package of Debian and Ubuntu, Fedora and RHEL, SUSE
    "ip": ("iproute2", "iproute", "iproute2"),
    "nft": ("nftables", "nftables", "nftables"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-kvm", "qemu-x86"),
    "virsh": ("libvirt-clients", "libvirt-client", "libvirt-client"),
    "libvirtd": ("libvirt-daemon-system", "libvirt-daemon", "libvirt-daemon"),
    "dnsmasq": ("dnsmasq-base", "dnsmasq", "dnsmasq"),
}
_INSTALL = {"debian": (0, "apt-get install"), "fedora": (1, "dnf install"), "suse": (2, "zypper install")}
_OPTIONAL = {"virsh", "libvirtd", "dnsmasq"}
_SEPARATE = "virtqemud"  # where libvirt's daemons are separate there is no libvirtd


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """What is missing, with one line that installs all of it."""
    gone = [name for name in _PROGRAMS if not facts.tools.get(name)]
    if facts.tools.get(_SEPARATE) and "libvirtd" in gone:
        gone.remove("libvirtd")
    if not gone:
        yield Finding(
            id="packages", severity=Severity.OK, subject="packages", text="QEMU, libvirt and dnsmasq are here"
        )
        return
    severity = Severity.WARNING if set(gone) <= _OPTIONAL else Severity.PROBLEM
    yield Finding(
        id="packages",
        severity=severity,
        subject="packages",
        text=f"not installed: {', '.join(gone)}",
        evidence=tuple(f"{name} is not in PATH" for name in gone),
        fix=install_line(facts, gone),
    )


def install_line(facts: DoctorFacts, programs: list[str]) -> str:
    """The command for this distribution; all three where it is not known."""
    family = family_of(facts)
    ways = [_INSTALL[family]] if family else list(_INSTALL.values())
    lines = []
    for column, command in ways:
        packages = dict.fromkeys(_PROGRAMS[name][column] for name in programs)
        lines.append(f"{command} {' '.join(packages)}")
    return " | ".join(lines)


def family_of(facts: DoctorFacts) -> str | None:
    """Which of the three package families the distribution belongs to."""
    words = (facts.distribution, *facts.like)
    for family, names in {
        "debian": ("debian", "ubuntu"),
        "fedora": ("fedora", "rhel", "centos"),
        "suse": ("suse", "opensuse", "sles"),
    }.items():
        if any(word.startswith(names) for word in words):
            return family
    return None
