"""libvirt through ``virsh``, for a Python that cannot load the binding; many questions go through one process."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence

from bascule.errors import BasculeError, MissingTool
from bascule.model.domain import DomainText, LeaseText, NetworkText
from bascule.system.libvirt.interface import libvirt_error, no_way_in
from bascule.system.run import run

VIRSH_HALTED = {"paused": "paused", "crashed": "crashed", "pmsuspended": "suspended"}  # tools/virsh-domain-monitor.c


class Virsh:
    """A connection that is made anew for each question."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._ask(f"connecting to {uri}", "uri")

    def _ask(self, doing: str, *words: str, stdin: str | None = None) -> str:
        try:
            done = run(("virsh", "-q", "-c", self.uri, *words), stdin=stdin, check=False)
        except MissingTool:
            raise no_way_in(self.uri) from None
        if done.status != 0:
            raise libvirt_error(doing, done.stderr or done.stdout)
        return done.stdout

    def _names(self, *words: str) -> list[str]:
        return [line.strip() for line in self._ask("listing", *words).splitlines() if line.strip()]

    def _texts(self, commands: Sequence[str]) -> dict[str, str]:
        """The domains that several dumpxml commands print one after the other, by UUID.

        One that vanishes meanwhile ends its own command only, and is left out.
        """
        if not commands:
            return {}
        text = run(("virsh", "-q", "-c", self.uri, "; ".join(commands)), check=False).stdout
        documents = re.findall(r"^<domain\b.*?^</domain>$", text, re.M | re.S)
        return {_first(r"<uuid>(.*?)</uuid>", document): document + "\n" for document in documents}

    def domains(self) -> tuple[DomainText, ...]:
        """All domains."""
        everything = self._names("list", "--all", "--uuid")
        running = set(self._names("list", "--uuid"))
        persistent = set(self._names("list", "--all", "--persistent", "--uuid"))
        autostart = set(self._names("list", "--all", "--autostart", "--uuid"))
        halted = self._halted(running)
        now = self._texts([f"dumpxml {uuid}" for uuid in everything])
        later = self._texts([f"dumpxml --inactive {uuid}" for uuid in everything if uuid in running & persistent])
        found = [
            DomainText(
                name=_name(text),
                running=uuid in running,
                persistent=uuid in persistent,
                autostart=uuid in autostart,
                now=text,
                next=later.get(uuid, text),
                halted=halted.get(uuid, ""),
            )
            for uuid, text in now.items()
        ]
        return tuple(sorted(found, key=lambda text: text.name))

    def _halted(self, running: Iterable[str]) -> dict[str, str]:
        """Those that have a process and do nothing, by UUID; all are asked by one program."""
        asked = "; ".join(f"dominfo {uuid}" for uuid in running)
        text = run(("virsh", "-q", "-c", self.uri, asked), check=False).stdout if asked else ""
        states = re.findall(r"^UUID:\s*(\S+)$.*?^State:\s*(.+?)$", text, re.M | re.S)
        return {uuid: VIRSH_HALTED[state] for uuid, state in states if state in VIRSH_HALTED}

    def domain(self, name: str) -> DomainText:
        """One domain."""
        doing = f"looking for domain '{name}'"
        facts = dict(
            re.findall(r"^([A-Z][^:]*):\s*(.*)$", self._ask(doing, "dominfo", "--domain", name), re.M),
        )
        running, persistent = facts["State"] != "shut off", facts["Persistent"] == "yes"
        now = self._ask(doing, "dumpxml", "--domain", name)
        inactive = running and persistent
        return DomainText(
            name=name,
            running=running,
            persistent=persistent,
            autostart=facts["Autostart"] == "enable",
            now=now,
            next=self._ask(doing, "dumpxml", "--inactive", "--domain", name) if inactive else now,
            halted=VIRSH_HALTED.get(facts["State"], ""),
        )

    def networks(self) -> tuple[NetworkText, ...]:
        """All networks; one that vanishes meanwhile is left out."""
        everything = self._names("net-list", "--all", "--name")
        active = set(self._names("net-list", "--name"))
        persistent = set(self._names("net-list", "--all", "--persistent", "--name"))
        autostart = set(self._names("net-list", "--all", "--autostart", "--name"))
        found = []
        for name in everything:
            words = ("virsh", "-q", "-c", self.uri, "net-dumpxml", "--network", name)
            try:
                now = self._ask(f"reading network '{name}'", *words[4:])
            except BasculeError as error:
                if error.problems[0].code != "LIBVIRT-NO-NETWORK":
                    raise
                continue
            later = run((*words, "--inactive"), check=False) if name in active and name in persistent else None
            found.append(
                NetworkText(
                    name=name,
                    active=name in active,
                    persistent=name in persistent,
                    autostart=name in autostart,
                    now=now,  # the test driver does not tell the two apart
                    next=later.stdout if later is not None and later.status == 0 else now,
                )
            )
        return tuple(found)

    def define_domain(self, xml: str) -> None:
        """Checked against libvirt's schema, too."""
        self._ask("defining a domain", "define", "--validate", "/dev/stdin", stdin=xml)

    def undefine_domain(self, name: str) -> None:
        """Its disks stay where they are."""
        self._ask(f"undefining '{name}'", "undefine", "--domain", name)

    def start_domain(self, name: str) -> None:
        """Start it."""
        self._ask(f"starting '{name}'", "start", "--domain", name)

    def stop_domain(self, name: str) -> None:
        """Pull the plug."""
        self._ask(f"stopping '{name}'", "destroy", "--domain", name)

    def shutdown_domain(self, name: str, mode: str) -> None:
        """Ask the guest."""
        self._ask(f"shutting down '{name}'", "shutdown", "--domain", name, *(("--mode", mode) if mode else ()))

    def set_domain_autostart(self, name: str, *, on: bool) -> None:
        """Whether it starts with the host."""
        self._ask(f"autostart of '{name}'", "autostart", "--domain", name, *(() if on else ("--disable",)))

    def attach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Add a device."""
        self._device("attach", name, xml, live=live)

    def update_device(self, name: str, xml: str, *, live: bool) -> None:
        """Change a device."""
        self._device("update", name, xml, live=live)

    def detach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Remove a device."""
        self._device("detach", name, xml, live=live)

    def _device(self, verb: str, name: str, xml: str, *, live: bool) -> None:
        where = "--live" if live else "--config"
        self._ask(
            f"{verb} of a device of '{name}'",
            f"{verb}-device",
            "--domain",
            name,
            "--file",
            "/dev/stdin",
            where,
            stdin=xml,
        )

    def define_network(self, xml: str) -> None:
        """Write a definition."""
        self._ask("defining a network", "net-define", "/dev/stdin", stdin=xml)

    def undefine_network(self, name: str) -> None:
        """Take a definition away."""
        self._ask(f"undefining network '{name}'", "net-undefine", "--network", name)

    def start_network(self, name: str) -> None:
        """Start it."""
        if name not in self._names("net-list", "--name"):
            self._ask(f"starting network '{name}'", "net-start", "--network", name)

    def set_autostart(self, network: str, *, on: bool) -> None:
        """Whether it starts with the host."""
        disable = () if on else ("--disable",)
        self._ask(f"autostart of network '{network}'", "net-autostart", "--network", network, *disable)

    def stop_network(self, name: str) -> None:
        """Stop it."""
        self._ask(f"stopping network '{name}'", "net-destroy", "--network", name)

    def update_network(
        self, name: str, command: str, section: str, xml: str, *, parent: int = -1, live: bool = True
    ) -> None:
        """Change a section by what libvirt calls net-update."""
        words = ["net-update", name, command, section, "--xml", xml, "--config"]
        words += ["--live"] if live else []
        words += ["--parent-index", str(parent)] if parent >= 0 else []
        self._ask(f"changing {section} of network '{name}'", *words)

    def leases(self, network: str) -> tuple[LeaseText, ...]:
        """The leases of a network."""
        try:
            rows = self._ask(f"reading the leases of '{network}'", "net-dhcp-leases", "--network", network).splitlines()
        except BasculeError as error:
            if error.problems[0].code != "LIBVIRT-NO-SUPPORT":
                raise
            rows = []
        found = []
        for row in rows:  # date time MAC protocol IP/prefix hostname client
            words = row.split()
            if len(words) < 6 or words[3] not in {"ipv4", "ipv6"}:
                continue
            end = dt.datetime.fromisoformat(f"{words[0]} {words[1]}").astimezone()
            name = "" if words[5] == "-" else words[5]
            address = words[4].partition("/")[0]
            found.append(LeaseText(mac=words[2], address=address, name=name, expires=int(end.timestamp())))
        return tuple(found)

    def agent_addresses(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """What the guest's agent says."""
        done = run(
            ("virsh", "-q", "-c", self.uri, "domifaddr", "--domain", name, "--source", "agent", "--full"), check=False
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in done.stdout.splitlines() if done.status == 0 else ():
            words = row.split()
            if len(words) == 4 and ":" in words[1]:
                found[words[1]] = (*found.get(words[1], ()), words[3])
        return found

    def ask_agent(self, name: str, message: str, *, timeout_s: int) -> str:
        """Its agent's word."""
        words = ("qemu-agent-command", "--domain", name, "--timeout", str(timeout_s), "--cmd", message)
        return self._ask(f"asking the agent of '{name}'", *words)

    def close(self) -> None:
        """Nothing is held."""


def _name(xml: str) -> str:
    """The domain's name; the four entities are all that libvirt writes there."""
    text = _first(r"<name>(.*?)</name>", xml)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""
