"""Which hostile frames the guards of a switch of Open vSwitch let through, for OpenFlow has no field for it; pure."""

from __future__ import annotations

from bascule.model.guarding import Guarding, GuardLevel

UNSEEN = {
    "a router solicitation with another's MAC": "OpenFlow sees no options of a router solicitation",
    "the same split behind destination options": "of a later fragment OpenFlow does not see what it belongs to; "
    "the first one is stopped, so that nothing is whole",
    "IPv6 behind extension headers": "Open vSwitch reads past extension headers, and tells its rules of none",
    "DHCP requests and a release in others' names": "OpenFlow does not see the client's MAC inside "
    "of DHCP, nor that a message is a relay's",
    "IGMP queries and multicast router discovery": "OpenFlow does not see the type of IGMP; what goes to the groups of "
    "queriers is stopped, what goes to 224.0.0.2 is not, for guests leave groups by it",
    "DVMRP, PIMv1 and RGMP": "OpenFlow does not see the type of IGMP, and guests leave groups by 224.0.0.2",
}  # by the name of the kind of frame
_OPTIONS = "Open vSwitch finds the MAC among the options, and a guard of the MAC knows no addresses"
UNSEEN_BY_MAC = {
    "the same with the option second": _OPTIONS,
    "the same behind a hop-by-hop header": _OPTIONS,
    "the same behind destination options": _OPTIONS,
    "ARP and RA behind LLC and SNAP": "Open vSwitch reads ARP behind LLC and SNAP as any other",
}  # further ones, where addresses are not known
_DISGUISED = "Open vSwitch reads past it, and a guest that may be a router may advertise itself"
UNSEEN_OF_ROUTERS = {
    "the same in an atomic fragment": _DISGUISED,
    "ARP and RA behind LLC and SNAP": _DISGUISED,
    "VRRP, PIM and RA behind an authentication header": _DISGUISED,
    "fragments behind, in and before other headers": _DISGUISED,
}  # further ones, which are advertisements in another form


def unseen_frames(guarding: Guarding) -> dict[str, str]:
    """The kinds that a guard lets through, with the reason."""
    found = UNSEEN | UNSEEN_BY_MAC if guarding.level is GuardLevel.MAC else UNSEEN
    return found | UNSEEN_OF_ROUTERS if "router" in guarding.may else found
