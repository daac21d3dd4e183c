"""One step of a difference: what is done to which link, when, and at what risk."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from msgspec import Struct, field

from bascule.plan.change import About, Change, Command, Risk

PLUG_S = 0.01  # how long a port that moves between bridges passes no frame: measured below 10 ms, see benchmarks/


class Phase(IntEnum):
    """When a step is made. What is new stands ready before what is old goes away."""

    REMAKE = 0
    RULES = 1  # nft's: they name links that may not be there yet, and guard them from their first moment
    CREATE = 2
    SETTINGS = 3
    RAISE = 4  # masters before their ports
    ADDRESS = 5
    DETACH = 6
    FREE_ROUTE = 7  # of a NIC that a bond takes: it must be down for that, and the kernel would drop them
    FREE_ADDRESS = 8
    SWITCH = 9  # who keeps switches makes them: a NIC has left its old bridge, and joins no other one yet
    SWITCHED = 10  # what the kernel sets on the links that it has made
    ENSLAVE = 11
    PORT = 12
    LINK_UP = 13
    LATE_ADDRESS = 14  # of a NIC that a bond let go: it was down until now
    ROUTE = 15
    OLD_ROUTE = 16
    OLD_ADDRESS = 17
    RULE = 18  # of policy routing
    LOWER = 19
    DELETE = 20
    OLD_RULES = 21
    END_SERVER = 22  # whose ports libvirt's own may want
    VIRTUAL_NETWORK = 23  # what whoever runs the guests does, when the kernel has everything that they are plugged into
    GUEST = 24
    SERVER = 25
    LATE_PORT = 26  # of taps that whoever runs the guests has moved: their VLANs
    LATE_DELETE = 27  # of bridges that such a tap has left


CUTTING = {
    Phase.FREE_ROUTE,
    Phase.FREE_ADDRESS,
    Phase.SWITCH,
    Phase.ENSLAVE,
    Phase.ROUTE,
    Phase.OLD_ROUTE,
    Phase.OLD_ADDRESS,
}  # dangerous on the management path


class Context(Struct, frozen=True, kw_only=True):
    """What the difference alone cannot tell.

    Why a link is wanted (or, as "eth0 routes", why something about it is not), which guests it shall carry and which it
    carries now, and the links on which the administrator's own line to the host runs.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    guests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    management: frozenset[str] = frozenset()
    otherwise: str = "it is not in the file"


class Step(Struct, frozen=True):
    """A change before its reason is known."""

    phase: Phase
    subject: str
    action: str
    commands: tuple[Command, ...]
    risk: Risk = Risk.ADDITION
    outage_s: float = 0.0
    about: About = "existence"
    undeclared: bool = False  # the link stays, but this about it is in the file no more
    moves: tuple[str, ...] = ()  # taps that it puts on their bridge itself
    makes: tuple[str, ...] = ()  # links that it makes and alters itself
    reason: str = ""  # where the difference alone tells it

    def change(self, context: Context) -> Change:
        """The step with its reason, its guests, and the risk that it has for this administrator."""
        cuts = self.subject in context.management and (self.risk > Risk.ADDITION or self.phase in CUTTING)
        other = context.otherwise
        cut = context.running.get(self.subject, ()) if self.outage_s else ()
        return Change(
            subject=self.subject,
            action=self.action,
            about=self.about,
            reason=self.reason
            or context.reasons.get(f"{self.subject} {self.about}" if self.undeclared else self.subject, other),
            risk=Risk.MANAGEMENT if cuts else self.risk,
            guests=context.guests.get(self.subject, ()),
            cuts=cut,
            outage_s=self.outage_s if cut else 0.0,
            stage=self.phase,
            commands=self.commands,
        )


def step(
    phase: Phase,
    subject: str,
    action: str,
    *commands: Command,
    risk: Risk = Risk.ADDITION,
    outage_s: float = 0.0,
    about: About = "existence",
    undeclared: bool = False,
    moves: tuple[str, ...] = (),
    makes: tuple[str, ...] = (),
    reason: str = "",
) -> Step:
    """A step with its commands behind its words."""
    return Step(phase, subject, action, commands, risk, outage_s, about, undeclared, moves, makes, reason)


def ip(*words: str) -> Command:
    """One line for ``ip -batch``."""
    return Command("ip", words)
