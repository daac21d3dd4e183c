"""Guests that somebody has named, and what the verbs about guests do with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from bascule.errors import BasculeError, Problem
from bascule.guests.checks import refuse_unknown
from bascule.guests.runtimes.detect import find_domain, find_nic
from bascule.guests.runtimes.runtime import GuestRuntime
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Attachment
from bascule.model.values import IfName, Mac
from bascule.plan.change import Note

LOOK_S = 0.2  # between two looks at who still runs


class ChosenGuests(Struct, frozen=True):
    """Guests by their names, and who runs them: all are known before the first is touched."""

    runtime: GuestRuntime
    domains: tuple[Domain, ...]

    @classmethod
    def of(cls, runtime: GuestRuntime, names: Iterable[str]) -> ChosenGuests:
        """Those of these names. Raises BasculeError for one that is not there."""
        there = runtime.domains()
        return cls(runtime, tuple(find_domain(there, name) for name in dict.fromkeys(names)))

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(domain.name for domain in self.domains)

    @property
    def off(self) -> tuple[str, ...]:
        """Those of them that do not run."""
        return tuple(domain.name for domain in self.domains if not domain.running)

    @property
    def running(self) -> tuple[str, ...]:
        """Those of them that run."""
        return tuple(domain.name for domain in self.domains if domain.running)

    def start(self) -> None:
        """Start them; those that run are left alone."""
        for domain in self.domains:
            self.runtime.start(domain.name)

    def stop(self) -> None:
        """Pull the plug of those that run."""
        for name in self.running:
            self.runtime.stop(name)

    def shutdown(
        self, wait_s: float, mode: str = "", waiting: Callable[[Sequence[str]], object] | None = None
    ) -> tuple[str, ...]:
        """Ask those that run to shut down, and wait so long until they are off; who still runs then.

        ``waiting`` is told again and again for whom it waits.
        """
        left = self.running
        for name in left:
            self.runtime.shutdown(name, mode)
        end = time.monotonic() + wait_s
        while left and time.monotonic() < end:
            if waiting is not None:
                waiting(left)
            time.sleep(LOOK_S)
            left = tuple(domain.name for domain in self.runtime.domains() if domain.name in left and domain.running)
        return left

    def autostart(self, *, on: bool) -> None:
        """Whether they start with the host."""
        for domain in self.domains:
            self.runtime.autostart(domain.name, on=on)

    def refuse_running(self) -> None:
        """Raise a problem for each that runs: its definition stays."""
        if self.running:
            raise BasculeError(
                *(
                    Problem(
                        code="GUEST-RUNS",
                        message=f"'{name}' runs, so its definition stays",
                        hint=f"shut it down first: bascule guest shutdown {name}",
                    )
                    for name in self.running
                )
            )

    def undefine(self) -> None:
        """Forget them; their disks stay. Raises BasculeError where one runs."""
        self.refuse_running()
        for domain in self.domains:
            self.runtime.undefine(domain.name)

    def console(self) -> tuple[str, ...]:
        """The program that shows the serial console of the one that is chosen. Raises BasculeError where it is off."""
        (domain,) = self.domains
        if not domain.running:
            hint = f"start it: bascule guest start {domain.name}"
            raise BasculeError.of("GUEST-OFF", f"'{domain.name}' does not run", hint=hint)
        return self.runtime.console(domain.name)

    def nic(self, word: str | None) -> ChosenNic:
        """A NIC of the one that is chosen, by number, MAC or tap."""
        (domain,) = self.domains
        return ChosenNic(self.runtime, domain, find_nic(domain, word))

    def attach(self, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str) -> DomainNic:
        """Give the one that is chosen one more NIC. Raises BasculeError for a plug that is not there."""
        (domain,) = self.domains
        refuse_unknown(self.runtime, to.kind.value, to.into)
        return self.runtime.attach(domain, to, mac=mac, tap=tap, model=model)


class ChosenNic(Struct, frozen=True):
    """A NIC of a guest that somebody has named."""

    runtime: GuestRuntime
    domain: Domain
    nic: DomainNic

    @property
    def words(self) -> str:
        """For people: ``web, NIC 0 (52:54:00:…)``."""
        return f"{self.domain.name}, NIC {self.nic.index} ({self.nic.mac})"

    def replug(self, to: Attachment) -> tuple[tuple[Note, ...], bool]:
        """Move its cable: what is to be known of that, and whether it has moved now, not at the guest's next start."""
        refuse_unknown(self.runtime, to.kind.value, to.into)
        notes = self.runtime.replug(self.domain, self.nic, to)
        return notes, self.domain.running and all(note.kind != "waiting" for note in notes)

    def unplug(self) -> None:
        """Pull its cable; the NIC stays."""
        self.runtime.unplug(self.domain, self.nic)

    def detach(self) -> None:
        """Take it out, now and for every start."""
        self.runtime.detach(self.domain, self.nic)
