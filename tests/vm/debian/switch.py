"""A bridge of Open vSwitch with the host's address, beside all else that the Debian machine's host has.

Over a reboot: Open vSwitch is there before its guards and before a manager that speaks with it, the host has its
address on the internal port, the guards' rules are loaded, and the port of the guest that is off is gone. What was made
by a change that nobody confirmed is gone after the loss of power, from its database as well.
"""

from __future__ import annotations

from tests.vm.debian.hands import SETTLE, UNITS, boots, output, say, sh, wait_until

MANAGERS = ("networkd", "netplan", "ifupdown")  # Debian's NetworkManager has no plugin for it
BRIDGE, UPLINK, TAP, ADDRESS = "br5", "eth5", "switched.0", "129.230.1.10/16"
UNIT = "bascule-switches.service"
GUEST = "  switched: {host: vmserver, nics: [{bridge: br5, vlan: 30, address: 10.30.0.6/24, guard: strict}]}\n"
NETPLANS_OWN = "netplan-ovs-cleanup.service"  # netplan's: it ends after 10 s, where ovs-vswitchd takes longer
ONLINE = ("/lib/systemd/systemd-networkd-wait-online", f"--interface={BRIDGE}:routable")


def with_switch(text: str) -> str:
    """The site file with a switch in the place of a bridge, and a guest on one of its VLANs."""
    return text.replace(f"{BRIDGE}: {{", f"{BRIDGE}: {{kind: openvswitch, ") + GUEST


def start() -> None:
    """As its package leaves it: enabled."""
    wrong = sh("systemctl", "enable", "--now", "openvswitch-switch")
    say("enable openvswitch-switch", ok=not wrong, detail=wrong)


def vsctl(*words: str) -> str:
    """What Open vSwitch says, on one line."""
    return " ".join(output("ovs-vsctl", f"--timeout={boots(SETTLE):.0f}", *words).split())


def runs() -> None:
    """What stands when the guest runs."""
    ports = vsctl("list-ports", BRIDGE)
    say("the guest has its port of the switch", ok=ports == f"{UPLINK} {TAP}", detail=ports)


def came_up(manager: str) -> None:
    """What came up by itself, before any guest is plugged in."""
    told = output("ip", "address", "show", "dev", BRIDGE)
    say("the host has its address on the switch", ok=ADDRESS in told and ",UP" in told, detail=[told, *units_say()])
    if manager == "networkd":
        wrong = sh(*ONLINE, f"--timeout={boots(SETTLE):.0f}")
        say("who waits for the network goes on", ok=not wrong, detail=wrong)
    units = ("ovs-vswitchd", UNIT, UNITS[manager])
    begun = [int(output("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", unit) or 0) for unit in units]
    say("Open vSwitch is there before its guards", ok=0 < begun[0] < begun[1], detail=begun)
    if manager == "ifupdown":  # whose scripts speak with it; networkd sets an address when the link comes
        say("and before the manager", ok=begun[0] < begun[2], detail=begun)
    listed = output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines()
    failed = [line for line in listed if manager == "netplan" or not line.startswith(NETPLANS_OWN)]
    say("no unit has failed", ok=not failed, detail=[*failed, *units_say()])
    ports = vsctl("list-ports", BRIDGE)
    say("the port of the guest that is off is gone", ok=ports == UPLINK, detail=ports)
    secure = vsctl("get-fail-mode", BRIDGE)
    say("it passes nothing without its rules", ok=secure == "secure", detail=secure)
    missing = wait_until(lambda: not rules_loaded(), SETTLE)
    say("the guards' rules are loaded", ok=not missing)


def rules_loaded() -> bool:
    """Whether the switch has rules of guards."""
    told = output("ovs-ofctl", "-O", "OpenFlow14", "dump-aggregate", BRIDGE, "cookie=0xba5c/-1")
    return "flow_count=" in told and "flow_count=0" not in told


def units_say() -> list[str]:
    """What systemd still does, what failed, and what Open vSwitch and its friends said at this boot."""
    lists = output("systemctl", "list-jobs", "--no-pager") + output("systemctl", "--failed", "--no-pager")
    words = ("journalctl", "--boot", "--no-pager", "--output", "short-monotonic", "--lines", "40")
    units = ("ovs*", "openvswitch*", "netplan*", "bascule*", "systemd-networkd*", "networking")
    return (lists + output(*words, *(f"--unit={unit}" for unit in units))).splitlines()
