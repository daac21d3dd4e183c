"""The facts that the doctor looks at, observed on this host. What cannot be seen stays empty; nothing is changed."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

from bascule.errors import BasculeError, Problem
from bascule.guests.accelerator import accel, kvm_group
from bascule.model.site import Site
from bascule.observe.firewall import read_firewall, with_hooks
from bascule.observe.kernel_support import lacking
from bascule.persist.detect import detect
from bascule.providers.effects import ObserveScope
from bascule.providers.libvirt import observe as libvirt
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.observe import look
from bascule.system.libvirt import connect
from bascule.system.net.links import wireless_links
from bascule.system.net.netns import is_machines_own
from bascule.system.run import find_tool, run
from bascule.verify.doctor.finding import DoctorFacts

TOOLS = ("ip", "nft", "qemu-system-x86_64", "virsh", "libvirtd", "virtqemud", "dnsmasq")


def gather(site: Site | None = None, host: str = "", *, uri: str | None = None, root: Path = Path("/")) -> DoctorFacts:
    """Observe. ``root`` is for the files of /etc, /proc and /sys of another tree, in tests."""
    tools = {name: _has(name) for name in TOOLS}
    release = _os_release(root)
    works, reason, forbidden = _kvm(tools)
    fault, seen = _libvirt(uri)
    zones, default_zone = _zones()
    state, faults = None, list[str]()
    with contextlib.suppress(BasculeError):
        state = look(ObserveScope(faults=faults))
    return DoctorFacts(
        distribution=release.get("ID", ""),
        like=tuple(release.get("ID_LIKE", "").split()),
        tools=tools,
        kvm_device=(root / "dev/kvm").exists(),
        kvm_flags=_cpu_flags(root),
        kvm_works=works,
        kvm_reason=reason,
        kvm_forbidden=forbidden,
        kvm_group=kvm_group(),
        modules=_modules(root),
        unmade=lacking(),
        network=with_hooks(read_firewall(state)) if state is not None else None,
        state=state,
        unseen=tuple(faults),
        libvirt_fault=fault,
        domains=seen.seen_domains,
        networks=seen.seen_networks,
        zones=zones,
        default_zone=default_zone,
        dns_sockets=_dns_sockets(),
        managers=detect(root) if is_machines_own() or root != Path("/") else None,
        wireless=wireless_links(root),
        site=site,
        host=host,
    )


def _has(name: str) -> bool:
    try:
        find_tool(name)
    except BasculeError:
        return False
    return True


def _os_release(root: Path) -> dict[str, str]:
    found = {}
    with contextlib.suppress(OSError):
        for line in (root / "etc/os-release").read_text().splitlines():
            key, _, value = line.partition("=")
            if value:
                found[key] = " ".join(shlex.split(value))
    return found


def _cpu_flags(root: Path) -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        return tuple(sorted(set(re.findall(r"\b(vmx|svm)\b", (root / "proc/cpuinfo").read_text()))))
    return ()


def _kvm(tools: dict[str, bool]) -> tuple[bool | None, str, bool]:
    if not tools["qemu-system-x86_64"]:
        return None, "there is no QEMU to start a probe guest with", False
    with contextlib.suppress(BasculeError):
        found = accel()
        return found.is_kvm, found.reason, found.forbidden
    return None, "the probe guest could not be started", False


def _libvirt(uri: str | None) -> tuple[Problem | None, LibvirtState]:
    try:
        hypervisor = connect(uri)
        try:
            return None, libvirt.observe(hypervisor)
        finally:
            hypervisor.close()
    except BasculeError as error:
        return error.problems[0], LibvirtState(uri="")


def _zones() -> tuple[dict[str, str] | None, str]:
    try:
        done = run(("firewall-cmd", "--get-active-zones"), check=False)
    except BasculeError:
        return None, ""
    if done.status != 0:
        return None, ""
    zones: dict[str, str] = {}
    zone = ""
    for line in done.stdout.splitlines():
        if line and not line[0].isspace():
            zone = line.split()[0]
        elif line.strip().startswith("interfaces:"):
            zones |= dict.fromkeys(line.partition(":")[2].split(), zone)
    return zones, run(("firewall-cmd", "--get-default-zone"), check=False).stdout.strip()


def _dns_sockets() -> tuple[tuple[str, str], ...]:
    """UDP sockets on the ports of DNS and DHCP; one that is bound to a link (``%virbr0``) is nobody's rival."""
    try:
        words = run(("ss", "-Hlunp", "( sport = :53 or sport = :67 )"), check=False).stdout
    except BasculeError:
        return ()
    found = []
    for line in words.splitlines():
        cells = line.split()
        if len(cells) < 4 or "%" in cells[3]:
            continue
        owner = re.search(r'\(\("([^"]+)"', line)
        found.append((cells[3], owner[1] if owner else "an unknown process"))
    return tuple(found)


def _modules(root: Path) -> frozenset[str] | None:
    """Loaded modules, and those built into the kernel that show parameters under /sys/module."""
    try:
        loaded = {line.split()[0] for line in (root / "proc/modules").read_text().splitlines() if line}
    except OSError:
        return None
    loaded |= {path.name for path in (root / "sys/module").glob("*")}
    # built-in ones without parameters show by what they made
    if (root / "dev/net/tun").exists():
        loaded.add("tun")
    return frozenset(loaded)
