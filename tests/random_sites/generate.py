"""Random site files that this kernel can rehearse: no VLANs but on a switch of Open vSwitch, and no bonds."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Struct, field

from tests.random_sites.features import add_features

Entry = dict[str, Any]
SERVED = ("tcp/80", "tcp/8000-8002", "udp/53")
HOST_VLAN = 10


def one_or_all(values: list[str]) -> str | list[str]:
    """As the file has it: one value as it is, several as a list."""
    return values[0] if len(values) == 1 else values


class Building(Struct, kw_only=True):
    """What has been decided so far; ``network`` n3 has the subnets 10.3.0.0/24 and 2001:db8:3::/64."""

    random: Random
    networks: dict[str, Entry] = field(default_factory=dict)
    hosts: dict[str, Entry] = field(default_factory=dict)
    guests: dict[str, Entry] = field(default_factory=dict)
    machines: dict[str, Entry] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def subnets(self, network: str) -> list[str]:
        """The subnets of a network."""
        said = self.networks[network]["subnet"]
        return [said] if isinstance(said, str) else said

    def gateways(self, network: str) -> list[str]:
        """The first address of each of its subnets."""
        return [
            one.replace("::/64", "::1") if ":" in one else one.replace(".0/24", ".1") for one in self.subnets(network)
        ]

    def address(self, network: str) -> str | list[str]:
        """Addresses that nobody has yet: of each subnet one, or of one of them alone."""
        number = self.last[network] = self.last.get(network, 10) + 1
        found = [
            one.replace("::/64", f"::{number:x}/64") if ":" in one else one.replace(".0/24", f".{number}/24")
            for one in self.subnets(network)
        ]
        if len(found) > 1 and self.chance(0.25):
            found = [self.random.choice(found)]
        return one_or_all(found)

    def chance(self, share: float) -> bool:
        """Whether it is so."""
        return self.random.random() < share

    @property
    def leased(self) -> set[str]:
        """The networks on which a machine serves DHCP."""
        return {machine["dhcp"]["network"] for machine in self.machines.values() if "dhcp" in machine}


def random_site(seed: int) -> Entry:
    """A site, the same for the same seed; without expectations."""
    made = Building(random=Random(seed))
    has_ipv6 = made.chance(0.5)
    for number in range(made.random.randint(1, 4)):
        subnets = [f"10.{number}.0.0/24"] + ([f"2001:db8:{number}::/64"] if has_ipv6 and made.chance(0.7) else [])
        if len(subnets) > 1 and made.chance(0.12):
            subnets = subnets[1:]
        made.networks[f"n{number}"] = {"subnet": one_or_all(subnets)}
    _routers(made)
    for number in range(made.random.randint(0, 3)):
        network = made.random.choice(list(made.networks))
        machine: Entry = {"nics": [{"network": network, "address": made.address(network)}]}
        made.machines[f"m{number}"] = machine | ({"serves": ["tcp/80"]} if made.chance(0.4) else {})
    for number in range(1 if made.chance(0.7) else 2):
        _host(made, f"h{number}", number)
    site: Entry = {"site": f"s{seed}", "networks": made.networks, "hosts": made.hosts}
    site |= ({"guests": made.guests} if made.guests else {}) | ({"machines": made.machines} if made.machines else {})
    return add_features(site, made.random)


def _routers(made: Building) -> None:
    names = list(made.networks)
    routed: set[str] = set()
    for number in range(made.random.randint(1, 2)) if len(names) > 1 and made.chance(0.8) else ():
        between = made.random.sample(names, made.random.randint(2, min(3, len(names))))
        nics = []
        for network in between:
            own = [f"{one}/{64 if ':' in one else 24}" for one in made.gateways(network)]
            nics.append(
                {"network": network, "address": made.address(network) if network in routed else one_or_all(own)}
            )
            if network not in routed:
                made.networks[network]["gateway"] = one_or_all(made.gateways(network))
            routed.add(network)
        machine: Entry = {"nics": nics, **_forwarding(made, between)}
        served = made.random.choice(between)
        fixed = next(nic["address"] for nic in nics if nic["network"] == served)
        if made.chance(0.3) and "." in str(fixed) and served not in made.leased:
            start = made.subnets(served)[0].removesuffix("0/24")
            machine["dhcp"] = {"network": served, "range": f"{start}200-{start}220"}
        made.machines[f"r{number}"] = machine | ({"serves": ["udp/53"]} if made.chance(0.3) else {})


def _forwarding(made: Building, between: list[str]) -> Entry:
    kind = made.random.random()
    if kind < 0.3:
        return {"forwards": "all"}
    if kind < 0.5:
        service = {"service": made.random.choice(["tcp/80", "udp/53", "icmp"])} if made.chance(0.6) else {}
        return {"forwards": [{"from": between[0], "to": between[1], **service}]}
    return {"masquerade": {"from": [between[0]], "to": between[1]}} if kind < 0.75 else {}


def _host(made: Building, name: str, number: int) -> None:
    nics: dict[str, Entry] = {}
    bridges: dict[str, Entry] = {}
    host: Entry = {"nics": nics}
    made.hosts[name] = host
    shared: list[str] = []
    routed: set[int] = set()
    for network in made.networks:
        if made.chance(0.2):
            continue
        link = f"eth{len(nics)}"
        nics[link] = {"network": network}
        kind, speaks = made.random.random(), made.chance(0.6)
        if kind < 0.65:
            bridge = bridges[f"br{network[1:]}"] = _bridge(made, link, f"52:54:00:aa:{number:02x}:{len(nics):02x}")
            if speaks and made.chance(0.4):
                _speak(made, nics[link], network, routed)
                bridge["address"] = "from-uplink"
            elif speaks:
                _speak(made, bridge, network, routed)
        else:
            shared += [link] if kind < 0.8 else []
            if speaks:
                _speak(made, nics[link], network, routed)
    if made.chance(0.3):
        bridges["brx"] = {"uplink": "none"} | ({"address": f"10.50.{number}.1/24"} if made.chance(0.4) else {})
    if made.chance(0.2):
        bridges["ovs"] = _switch_with_vlans(made, number)
    lab = _virtual_network(made, number) if made.chance(0.5) else None
    host |= {"bridges": bridges} if bridges else {}
    for _ in range(made.random.randint(0, 5)):
        _guest(made, name, bridges, shared, lab)
    if lab is not None:
        host["virtual_networks"] = {"lab": lab}
    host |= {"serves": ["tcp/22"]} if made.chance(0.3) else {}


def _bridge(made: Building, uplink: str, mac: str) -> Entry:
    bridge: Entry = {"uplink": uplink}
    bridge |= {"kind": "openvswitch"} if made.chance(0.2) else {}
    bridge |= {"guard": made.random.choice(["strict", "mac"])} if made.chance(0.25) else {}
    bridge |= {"mac": mac} if made.chance(0.15) else {}
    return bridge | ({"snooping": made.chance(0.5)} if made.chance(0.1) else {})


def _speak(made: Building, link: Entry, network: str, routed: set[int]) -> None:
    """The host has an address there, perhaps its default gateway as well."""
    if network in made.leased and made.chance(0.3):
        link["address"] = "dhcp"
        return
    link["address"] = made.address(network)
    own = [link["address"]] if isinstance(link["address"], str) else link["address"]
    versions = {6 if ":" in one else 4 for one in own} - routed
    gateways = [one for one in made.gateways(network) if (6 if ":" in one else 4) in versions]
    if "gateway" in made.networks[network] and gateways and made.chance(0.7):
        link["gateway"] = one_or_all(gateways)
        routed |= {6 if ":" in one else 4 for one in gateways}


def _virtual_network(made: Building, number: int) -> Entry:
    start = f"192.168.{100 + number}."
    network: Entry = {"mode": made.random.choice(["nat", "routed", "isolated", "open"]), "subnet": f"{start}0/24"}
    return network | ({"dhcp": f"{start}100-{start}150"} if made.chance(0.6) else {})


def _switch_with_vlans(made: Building, number: int) -> Entry:
    """A switch of Open vSwitch without a wire, on which guests are on VLANs."""
    for place in range(made.random.randint(2, 3)):
        vlan = HOST_VLAN + made.random.randint(0, 1)
        nic: Entry = {"bridge": "ovs", "vlan": vlan, "address": f"10.60.{number}.{place + 1}/24"}
        made.guests[f"v{number}-{place}"] = {"host": f"h{number}", "nics": [nic], "serves": ["tcp/80"]}
    return {"kind": "openvswitch", "uplink": "none"} | ({"guard": "mac"} if made.chance(0.4) else {})


def _guest(made: Building, host: str, bridges: dict[str, Entry], shared: list[str], lab: Entry | None) -> None:
    nics: list[Entry] = []
    number = len(made.guests)
    for _ in range(1 if made.chance(0.75) else 2):
        kind = made.random.random()
        nic: Entry | None = None
        if kind < 0.15 and lab is not None:
            nic = {"network": "lab", "address": lab["subnet"].replace(".0/24", f".{10 + number}/24")}
            if "dhcp" in lab and made.chance(0.4):
                nic["address"] = "dhcp"
        elif kind < 0.3 and shared:
            link = made.random.choice(shared)
            nic = {"direct": link, "address": made.address(made.hosts[host]["nics"][link]["network"])}
        elif plugs := [name for name in bridges if name != "ovs"]:
            name = made.random.choice(plugs)
            nic = _plugged(made, name, bridges[name], number, int(host[1:]))
        taken = [{key: one.get(key) for key in ("bridge", "network", "direct")} for one in nics]
        if nic is not None and {key: nic.get(key) for key in ("bridge", "network", "direct")} not in taken:
            nics.append(nic)
    if nics:
        serves = {"serves": made.random.sample(SERVED, made.random.randint(1, 2))} if made.chance(0.5) else {}
        made.guests[f"g{number}"] = {"host": host, "nics": nics, **serves}


def _plugged(made: Building, name: str, bridge: Entry, number: int, host: int) -> Entry:
    nic: Entry = {"bridge": name}
    if name == "brx":
        nic["address"] = f"10.50.{host}.{10 + number}/24"
    elif made.chance(0.8):
        nic["address"] = made.address(f"n{name[2:]}")
    elif f"n{name[2:]}" in made.leased:
        nic["address"] = "dhcp"
    if made.chance(0.2):
        nic["guard"] = made.random.choice(["strict", "mac", "off"])
    guard = nic.get("guard", bridge.get("guard", "off"))
    if guard == "strict" and nic.get("address", "dhcp") == "dhcp":
        nic["guard"] = guard = "mac"
    if made.chance(0.2):
        nic["isolated"] = True if guard == "off" else made.random.choice([True, "g1"])
    if made.chance(0.1) and guard != "off" and "kind" not in bridge:
        nic["fdb"] = "static"
    return nic
