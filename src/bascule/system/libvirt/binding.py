"""libvirt through its own Python binding, the distribution's package python3-libvirt."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bascule.model.domain import DomainText, LeaseText, NetworkText
from bascule.system.libvirt.interface import HALTED, libvirt_error

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_FOLDERS = (  # where distributions put it; a virtual environment made with plain python does not look there
    Path("/usr/lib/python3/dist-packages"),
    Path(f"/usr/lib64/python{_VERSION}/site-packages"),
    Path(f"/usr/lib/python{_VERSION}/site-packages"),
)


@cache
def _module() -> Any:
    """The binding, or None."""
    module = _imported("libvirt")
    if module is not None:
        module.registerErrorHandler(lambda *_: None, None)  # it prints to stderr otherwise; the exception says it all
    return module


def _imported(name: str) -> Any:
    """A module of the binding. The distribution's copy is taken if it was built for this very Python (its ABI tag)."""
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    for folder in _FOLDERS:
        if not any(folder.glob(f"libvirtmod.{tag}*.so")):
            continue
        sys.path.append(str(folder))  # last, and only for this import: nothing else is taken from there
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
        finally:
            sys.path.remove(str(folder))
    return None


def is_here() -> bool:
    """Whether the binding can be loaded."""
    return _module() is not None


@contextlib.contextmanager
def _as_errors_of(doing: str) -> Iterator[None]:
    try:
        yield
    except _module().libvirtError as error:
        raise libvirt_error(doing, str(error)) from error


class Binding:
    """A connection through the binding."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lv = _module()
        with _as_errors_of(f"connecting to {uri}"):
            self._conn = self._lv.open(uri)

    def domains(self) -> tuple[DomainText, ...]:
        """All domains; one that vanishes meanwhile is left out."""
        found = []
        with _as_errors_of("listing domains"):
            for domain in self._conn.listAllDomains():
                try:
                    found.append(self._domain_text(domain))
                except self._lv.libvirtError as error:
                    if error.get_error_code() != self._lv.VIR_ERR_NO_DOMAIN:
                        raise
        return tuple(sorted(found, key=lambda text: text.name))

    def domain(self, name: str) -> DomainText:
        """One domain."""
        with _as_errors_of(f"looking for domain '{name}'"):
            return self._domain_text(self._domain(name))

    def _domain(self, name: str) -> Any:
        return self._conn.lookupByName(name)

    def _domain_text(self, domain: Any) -> DomainText:
        running, persistent = bool(domain.isActive()), bool(domain.isPersistent())
        now = domain.XMLDesc()
        definition = domain.XMLDesc(self._lv.VIR_DOMAIN_XML_INACTIVE) if running and persistent else now
        return DomainText(
            name=domain.name(),
            running=running,
            persistent=persistent,
            autostart=bool(domain.autostart()) if persistent else False,
            now=now,
            next=definition,
            halted=HALTED.get(domain.state()[0], "") if running else "",
        )

    def networks(self) -> tuple[NetworkText, ...]:
        """All networks; one that vanishes meanwhile is left out."""
        found = []
        with _as_errors_of("listing networks"):
            for network in self._conn.listAllNetworks():
                try:
                    found.append(self._network_text(network))
                except self._lv.libvirtError as error:
                    if error.get_error_code() != self._lv.VIR_ERR_NO_NETWORK:
                        raise
        return tuple(found)

    def _network_text(self, network: Any) -> NetworkText:
        active, persistent = bool(network.isActive()), bool(network.isPersistent())
        now = network.XMLDesc()
        return NetworkText(
            name=network.name(),
            active=active,
            persistent=persistent,
            autostart=bool(network.autostart()) if persistent else False,
            now=now,
            next=self._inactive(network, now) if active and persistent else now,
        )

    def _inactive(self, network: Any, now: str) -> str:
        try:
            return str(network.XMLDesc(self._lv.VIR_NETWORK_XML_INACTIVE))
        except self._lv.libvirtError:  # the test driver does not tell the two apart
            return now

    def define_domain(self, xml: str) -> None:
        """Checked against libvirt's schema, too."""
        with _as_errors_of("defining a domain"):
            self._conn.defineXMLFlags(xml, self._lv.VIR_DOMAIN_DEFINE_VALIDATE)

    def undefine_domain(self, name: str) -> None:
        """Its disks stay where they are."""
        with _as_errors_of(f"undefining '{name}'"):
            self._domain(name).undefine()

    def start_domain(self, name: str) -> None:
        """Start it."""
        with _as_errors_of(f"starting '{name}'"):
            self._domain(name).create()

    def stop_domain(self, name: str) -> None:
        """Pull the plug."""
        with _as_errors_of(f"stopping '{name}'"):
            self._domain(name).destroy()

    def shutdown_domain(self, name: str, mode: str) -> None:
        """Ask the guest."""
        flags = {
            "acpi": self._lv.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
            "agent": self._lv.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
        }
        with _as_errors_of(f"shutting down '{name}'"):
            if mode:
                self._domain(name).shutdownFlags(flags[mode])
            else:
                self._domain(name).shutdown()

    def set_domain_autostart(self, name: str, *, on: bool) -> None:
        """Whether it starts with the host."""
        with _as_errors_of(f"autostart of '{name}'"):
            self._domain(name).setAutostart(int(on))

    def _affect(self, *, live: bool) -> int:
        flag = self._lv.VIR_DOMAIN_AFFECT_LIVE if live else self._lv.VIR_DOMAIN_AFFECT_CONFIG
        return int(flag)

    def attach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Add a device."""
        with _as_errors_of(f"attaching a device to '{name}'"):
            self._domain(name).attachDeviceFlags(xml, self._affect(live=live))

    def update_device(self, name: str, xml: str, *, live: bool) -> None:
        """Change a device."""
        with _as_errors_of(f"changing a device of '{name}'"):
            self._domain(name).updateDeviceFlags(xml, self._affect(live=live))

    def detach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Remove a device."""
        with _as_errors_of(f"detaching a device from '{name}'"):
            self._domain(name).detachDeviceFlags(xml, self._affect(live=live))

    def define_network(self, xml: str) -> None:
        """Write a definition."""
        with _as_errors_of("defining a network"):
            self._conn.networkDefineXML(xml)

    def undefine_network(self, name: str) -> None:
        """Take a definition away."""
        with _as_errors_of(f"undefining network '{name}'"):
            self._conn.networkLookupByName(name).undefine()

    def start_network(self, name: str) -> None:
        """Start it."""
        with _as_errors_of(f"starting network '{name}'"):
            network = self._conn.networkLookupByName(name)
            if not network.isActive():
                network.create()

    def set_autostart(self, network: str, *, on: bool) -> None:
        """Whether it starts with the host."""
        with _as_errors_of(f"autostart of network '{network}'"):
            there = self._conn.networkLookupByName(network)
            if on != bool(there.autostart()):
                there.setAutostart(int(on))

    def stop_network(self, name: str) -> None:
        """Stop it."""
        with _as_errors_of(f"stopping network '{name}'"):
            self._conn.networkLookupByName(name).destroy()

    def update_network(
        self, name: str, command: str, section: str, xml: str, *, parent: int = -1, live: bool = True
    ) -> None:
        """Change a section by what libvirt calls net-update."""
        lv = self._lv
        flags = lv.VIR_NETWORK_UPDATE_AFFECT_CONFIG | (lv.VIR_NETWORK_UPDATE_AFFECT_LIVE if live else 0)
        verb = getattr(lv, "VIR_NETWORK_UPDATE_COMMAND_" + command.upper().replace("-", "_"))
        part = getattr(lv, "VIR_NETWORK_SECTION_" + section.upper().replace("-", "_"))
        with _as_errors_of(f"changing {section} of network '{name}'"):
            self._conn.networkLookupByName(name).update(verb, part, parent, xml, flags)

    def leases(self, network: str) -> tuple[LeaseText, ...]:
        """The leases of a network."""
        with _as_errors_of(f"reading the leases of '{network}'"):
            try:
                rows = self._conn.networkLookupByName(network).DHCPLeases()
            except self._lv.libvirtError as error:
                if error.get_error_code() != self._lv.VIR_ERR_NO_SUPPORT:
                    raise
                rows = []
        return tuple(
            LeaseText(mac=row["mac"], address=row["ipaddr"], name=row["hostname"] or "", expires=int(row["expirytime"]))
            for row in rows
            if row["mac"]
        )

    def agent_addresses(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """What the guest's agent says."""
        try:
            rows = self._domain(name).interfaceAddresses(self._lv.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
        except self._lv.libvirtError:  # no agent, not running: nothing to say
            return {}
        return {
            row["hwaddr"]: tuple(f"{item['addr']}/{item['prefix']}" for item in row["addrs"] or ())
            for row in rows.values()
            if row.get("hwaddr")
        }

    def ask_agent(self, name: str, message: str, *, timeout_s: int) -> str:
        """Its agent's word."""
        with _as_errors_of(f"asking the agent of '{name}'"):
            return str(_imported("libvirt_qemu").qemuAgentCommand(self._domain(name), message, timeout_s, 0))

    def close(self) -> None:
        """End the connection; one that is already broken is no complaint."""
        with contextlib.suppress(self._lv.libvirtError):
            self._conn.close()
