"""What is under a bridge or in a bond, and that each NIC has one taker."""

from __future__ import annotations

from bascule.model.host_links import LISTENING
from bascule.model.values import IFNAME_MAX, IfName
from bascule.site import document as d
from bascule.site.checks.bonds import KERNEL_KEYS
from bascule.site.checks.mtus import said_mtu
from bascule.site.findings import Path, suggest
from bascule.site.parsers import NO_UPLINK, UNKNOWN
from bascule.site.wiring import DocumentWiring

BY_ARP = ("active-backup", "balance-rr", "balance-xor", "broadcast")  # bond_options.c
ARP_TARGETS = 16  # BOND_MAX_ARP_TARGETS
TREE_TIMES = {"forward_delay": (200, 3000), "hello": (100, 1000), "max_age": (600, 4000)}  # hundredths of a second


def check_uplinks(wiring: DocumentWiring) -> None:
    """Uplinks exist and are free; what is enslaved has no address; tags fit the networks."""
    for host, entry in wiring.document.hosts.items():
        _Host(wiring, host, entry).check()


class _Host:
    def __init__(self, wiring: DocumentWiring, name: str, entry: d.Host) -> None:
        self.wiring = wiring
        self.found = wiring.found
        self.name = name
        self.entry = entry
        self.top: Path = ("hosts", name)
        self.member_of: dict[IfName, IfName] = {}

    def check(self) -> None:
        for name, bond in self.entry.bonds.items():
            self.bond(name, bond)
        for name, bridge in self.entry.bridges.items():
            self.bridge(name, bridge)
        self.enslaved()
        self.default_routes()

    def bond(self, name: IfName, bond: d.Bond) -> None:
        """Members are NICs of this host, on one network, each in one bond."""
        path: Path = (*self.top, "bonds", name)
        if not bond.nics:
            self.found.add("BOND", f"bond '{name}' has no NIC", (*path, "nics"), hint="list its members, or remove it")
        self.bond_times(name, bond, path)
        self.by_arp(name, bond, path)
        self.primary(name, bond, path)
        networks: dict[str, IfName] = {bond.network: name} if bond.network else {}
        for index, member in enumerate(bond.nics):
            if member == UNKNOWN:
                continue  # a plan refuses it
            where: Path = (*path, "nics", index)
            nic = self.entry.nics.get(member)
            if nic is None:
                if not self.found.is_broken((*self.top, "nics", member)):
                    hint = suggest(member, self.entry.nics, kind="NIC")
                    self.found.add("UNKNOWN-NAME", f"host '{self.name}' has no NIC '{member}'", where, hint=hint)
                continue
            if member in self.member_of:
                other = self.member_of[member]
                words = "twice" if other == name else f"as well as in bond '{other}'"
                self.found.add(
                    "UPLINK-TWICE",
                    f"NIC '{member}' is in bond '{name}' {words}",
                    where,
                    hint="a NIC has one master",
                    also=[("the first", (*self.top, "bonds", other, "nics"))],
                )
            self.member_of.setdefault(member, name)
            if nic.network:
                networks.setdefault(nic.network, member)
            if bond.mtu and nic.mtu and nic.mtu != bond.mtu:
                self.found.add(
                    "MTU",
                    f"NIC '{member}' has MTU {nic.mtu}, but its bond '{name}' sets {bond.mtu} on all members",
                    (*self.top, "nics", member, "mtu"),
                    hint="give the MTU at the bond only",
                    also=[("the bond", (*path, "mtu"))],
                )
        if len(networks) > 1:
            named = " and ".join(f"'{n}' ({nic})" for n, nic in networks.items())
            self.found.add(
                "BOND",
                f"the members of bond '{name}' stand on different networks: {named}",
                (*path, "nics"),
                hint="all members of a bond reach the same network",
            )

    def bridge(self, name: IfName, bridge: d.Bridge) -> None:
        """The uplink is a NIC or bond of this host, or none on purpose."""
        path: Path = (*self.top, "bridges", name)
        if self.found.is_broken((*path, "uplink")):
            return
        if bridge.uplink is None:
            free = f" with NIC {' or '.join(self.free_nics())}" if self.free_nics() else " with a NIC or bond"
            self.found.add(
                "BRIDGE-UPLINK",
                f"bridge '{name}' has no uplink",
                path,
                key=True,
                hint=f"write 'uplink'{free}, or 'uplink: none' if it is to have no NIC",
            )
        elif bridge.uplink == "none":
            self.without_nic(name, bridge, path)
        elif bridge.uplink == "unknown":
            pass  # a plan refuses it
        elif is_below(self.wiring, self.name, name, "uplink", bridge.uplink, (*path, "uplink")):
            self.tags(name, bridge, path)
            self.takes_addresses(name, bridge, path)
            self.mtu(name, bridge, path)
        self.tree(name, bridge, path)
        for key in ("vlans", "pvid"):
            if getattr(bridge, key) not in {None, ()} and not bridge.vlan_aware:
                self.found.add(
                    "VLAN-UNAWARE",
                    f"'{key}' is what the uplink of a VLAN-aware bridge carries, and '{name}' is none",
                    (*path, key),
                    hint=f"add 'vlan_aware: true' to '{name}', or remove '{key}'",
                )
        if bridge.vlan is not None and bridge.vlan_aware:
            message = f"bridge '{name}' has both 'vlan' and 'vlan_aware'"
            hint = "'vlan' puts the whole bridge on one tag, 'vlan_aware' carries all tags: take one of them"
            if not bridge.by_kernel:
                message = f"'vlan' puts a bridge of the kernel on a tag, and '{name}' is one of {bridge.made.maker}"
                hint = f"give 'vlan: {bridge.vlan}' to its guests, and the host a VLAN link over '{name}'"
            self.found.add("BRIDGE-VLAN", message, (*path, "vlan"), hint=hint)

    def bond_times(self, name: IfName, bond: d.Bond, path: Path) -> None:
        """The kernel counts delays in whole looks at the carrier, and takes none where it does not look."""
        usual = 0 if bond.arp_interval and bond.mode in BY_ARP else 100
        every = 1 if not bond.by_kernel else usual if bond.miimon is None else bond.miimon
        for key in ("updelay", "downdelay"):
            delay = getattr(bond, key)
            if delay and (not every or delay % every):
                words = f"is not a multiple of its miimon of {every} ms" if every else "needs a miimon"
                self.found.add(
                    "BOND", f"{key} {delay} ms of bond '{name}' {words}", (*path, key),
                    hint=f"write {key}: {max(round(delay / every), 1) * every}" if every else "add 'miimon: 100'",
                )  # fmt: skip
        for key, modes in (
            ("hash_policy", ("balance-xor", "802.3ad", "balance-tlb")),
            ("lacp_rate", ("802.3ad",) if bond.by_kernel else ("balance-tcp",)),
            ("min_links", ("802.3ad",)),
            ("ad_select", ("802.3ad",)),
            *((key, ("active-backup", "balance-tlb", "balance-alb")) for key in ("primary", "primary_reselect")),
            *((key, BY_ARP) for key in ("arp_interval", "arp_ip_target", "arp_validate", "arp_all_targets")),
            *((key, ("active-backup",)) for key in ("fail_over_mac", "num_grat_arp")),
            ("resend_igmp", ("active-backup", "balance-rr", "balance-tlb", "balance-alb")),
            ("packets_per_slave", ("balance-rr",)),
            ("lp_interval", ("balance-tlb", "balance-alb")),
        ):
            if not bond.by_kernel and key in KERNEL_KEYS:
                continue  # told there
            if getattr(bond, key) not in {None, ()} and bond.mode not in modes:
                self.found.add(
                    "BOND", f"'{key}' of bond '{name}' has no effect in mode {bond.mode}", (*path, key),
                    hint=f"it belongs to {' and '.join(modes)}; remove it, or write mode: {modes[0]}",
                )  # fmt: skip

    def by_arp(self, name: IfName, bond: d.Bond, path: Path) -> None:
        """The kernel watches members by their carrier or by ARP, which needs whom to ask, by IPv4."""
        if not bond.by_kernel:
            return
        if bond.arp_interval and bond.miimon:
            message = f"bond '{name}' watches its members by ARP or by their carrier, not by both"
            self.found.add("BOND", message, (*path, "miimon"), hint="remove 'miimon', or 'arp_interval'")
        if bool(bond.arp_interval) != bool(bond.arp_ip_target) and bond.mode in BY_ARP:
            there, lacks = ("arp_interval", "arp_ip_target")[:: 1 if bond.arp_interval else -1]
            message = f"'{there}' of bond '{name}' has no effect without '{lacks}'"
            self.found.add("BOND", message, (*path, there), hint=f"add '{lacks}', or remove it")
        for index, target in enumerate(bond.arp_ip_target):
            if target.version == 6 or index >= ARP_TARGETS:
                what = "is no IPv4 address" if target.version == 6 else f"is one of more than {ARP_TARGETS}"
                message = f"target {target} of bond '{name}' {what}"
                self.found.add("BOND", message, (*path, "arp_ip_target", index), hint="remove it")

    def primary(self, name: IfName, bond: d.Bond, path: Path) -> None:
        """The primary is a member, and there are as many members as must have carrier."""
        if UNKNOWN in bond.nics:
            return
        if bond.primary is not None and bond.primary not in bond.nics:
            message = f"the primary '{bond.primary}' is not a member of bond '{name}'"
            hint = suggest(bond.primary, bond.nics, kind="member")
            self.found.add("BOND", message, (*path, "primary"), hint=hint)
        if bond.min_links is not None and bond.nics and bond.min_links > len(bond.nics):
            message = f"bond '{name}' needs {bond.min_links} members with carrier and has {len(bond.nics)}"
            self.found.add("BOND", message, (*path, "min_links"), hint="add members, or lower it")

    def tree(self, name: IfName, bridge: d.Bridge, path: Path) -> None:
        """The times that the kernel takes (br_stp_if.c), and who asks for multicast must listen."""
        for key, (low, high) in TREE_TIMES.items():
            ticks = getattr(bridge, key)
            if ticks is not None and not low <= ticks <= high and (bridge.stp or key != "forward_delay"):
                self.found.add(
                    "COUNT", f"{key} {ticks / 100:g} s of bridge '{name}' is not in {low // 100}–{high // 100} s",
                    (*path, key), hint="the kernel takes no other one",
                )  # fmt: skip
        if bridge.querier and bridge.snooping is False:
            message = f"bridge '{name}' asks who wants multicast and does not listen to the answers"
            hint = "remove 'snooping', which is on then, or 'querier'"
            self.found.add("SNOOPING", message, (*path, "snooping"), hint=hint)
        for key in ("path_cost", "port_priority", "port_flags"):
            if getattr(bridge, key) is not None and bridge.uplink in {None, "none"}:
                message = f"'{key}' is that of an uplink, and bridge '{name}' has none"
                self.found.add("BRIDGE-UPLINK", message, (*path, key), hint=f"remove '{key}'")

    def without_nic(self, name: IfName, bridge: d.Bridge, path: Path) -> None:
        """A bridge without NIC has nothing to take a tag or an address from."""
        if bridge.vlan is not None:
            self.found.add(
                "BRIDGE-VLAN", f"bridge '{name}' has a VLAN but no uplink that could carry it", (*path, "vlan")
            )
        if "from-uplink" in bridge.address:
            message = f"bridge '{name}' takes its address from an uplink that it does not have"
            self.found.add("FROM-UPLINK", message, (*path, "address"), hint="give the address itself")

    def tags(self, name: IfName, bridge: d.Bridge, path: Path) -> None:
        """A tagged network needs a tag on the way, and a tag needs a network."""
        if bridge.vlan is not None:
            unknown_vlan(self.wiring, bridge.vlan, (*path, "vlan"))
            link = f"{bridge.uplink}.{bridge.vlan}"
            if len(link.encode()) > IFNAME_MAX:
                self.found.add(
                    "NAME-LONG",
                    f"the VLAN link '{link}' under bridge '{name}' would have {len(link.encode())} bytes; "
                    f"the kernel takes at most {IFNAME_MAX}",
                    (*path, "uplink"),
                    hint="give the NIC a shorter name (a .link file with [Match] MACAddress= and [Link] Name=)",
                )
            return
        if bridge.uplink in self.entry.vlans:
            return  # its frames are tagged below
        segment = self.wiring.of_link(self.name, bridge.uplink)
        if segment and segment.vlan is not None and (bridge.address or not bridge.vlan_aware):
            words = f"bridge '{name}' sits"
            hint = f"add 'vlan: {segment.vlan}' to the bridge, or make it 'vlan_aware: true' and tag its guests"
            if bridge.vlan_aware:
                words = f"the address of bridge '{name}' is"
                hint = f"give it to a bridge of its own with 'vlan: {segment.vlan}' on another NIC"
            self.found.add(
                "VLAN-TAGGED",
                f"{words} untagged on '{bridge.uplink}', but {segment.label} arrives with VLAN {segment.vlan}",
                path,
                key=True,
                hint=hint,
                also=[("the tag", ("networks", segment.network or "", "vlan"))],
            )

    def takes_addresses(self, name: IfName, bridge: d.Bridge, path: Path) -> None:
        """``from-uplink`` needs an untagged uplink; which address that has now, only the host knows."""
        if "from-uplink" not in bridge.address or bridge.uplink is None:
            return
        where: Path = (*path, "address")
        if bridge.vlan is not None:
            message = (
                f"bridge '{name}' is on VLAN {bridge.vlan} and cannot take the untagged address of '{bridge.uplink}'"
            )
            self.found.add("FROM-UPLINK", message, where, hint="give the bridge its own address")

    def mtu(self, name: IfName, bridge: d.Bridge, path: Path) -> None:
        """A bridge cannot pass what a link below it cannot."""
        for below in bridge.below if bridge.mtu else ():
            narrow = said_mtu(self.entry, below)
            if narrow and narrow[1] < (bridge.mtu or 0):
                noun = next(noun for _, noun, name, _ in self.entry.links() if name == below)
                table = next(table for table, _, name, _ in self.entry.links() if name == narrow[0])
                what = "uplink" if below == bridge.uplink else noun
                self.found.add(
                    "MTU",
                    f"bridge '{name}' has MTU {bridge.mtu}, but its {what} '{below}' passes only {narrow[1]}",
                    (*path, "mtu"),
                    hint=f"raise the {what} to {bridge.mtu}, and the switch port with it, or lower the bridge",
                    also=[(f"the {what}", (*self.top, table, narrow[0], "mtu"))],
                )

    def free_nics(self) -> list[str]:
        """NICs that no bridge or bond takes and that have no address."""
        taken = {link for bridge in self.entry.bridges.values() for link in bridge.below} | set(self.member_of)
        return [name for name, nic in self.entry.nics.items() if name not in taken and not nic.address]

    def enslaved(self) -> None:
        """A link under a bridge or in a bond has no address of its own: the kernel would never deliver to it."""
        speak = [each for each in self.entry.links() if (link := each[3]).address or link.gateway or link.ipv6]
        masters = {
            port: (name, key)
            for name, bridge in (reversed(self.entry.bridges.items()) if speak else ())
            for port, key in self.wiring.ports_of(bridge).items()
        }
        for key, noun, name, link in speak:
            path: Path = (*self.top, key, name)
            given = "address" if link.address else "gateway" if link.gateway else "ipv6"
            has = "an address" if link.address else "a gateway" if link.gateway else f"'ipv6: {link.ipv6}'"
            moved = "the address" if link.address else f"'{given}'"
            if name in self.member_of:
                bond = self.member_of[name]
                self.found.add(
                    "ENSLAVED-ADDRESS",
                    f"{noun} '{name}' has {has}, but is a member of bond '{bond}'",
                    (*path, given),
                    hint=f"give {moved} to {bond}, or to a bridge on it",
                    also=[("the bond", (*self.top, "bonds", bond, "nics"))],
                )
            elif name in masters and key != "bridges" and not self.wiring.gives_addresses_up(self.name, name):
                bridge, where = masters[name]
                if where == ("uplink",) and link.address:
                    moved = "'address: from-uplink' to move it there"
                self.found.add(
                    "ENSLAVED-ADDRESS",
                    f"{noun} '{name}' has {has}, but is under bridge '{bridge}'",
                    (*path, given),
                    hint=f"give '{bridge}' {moved}, or take another NIC for the bridge",
                    also=[("the bridge", (*self.top, "bridges", bridge, *where))],
                )
            elif isinstance(link, d.Nic | d.Bond):
                self.tagged(f"{noun} '{name}' has {has}", name, (*path, given))

    def tagged(self, what: str, name: IfName, path: Path) -> None:
        """The host's own frames leave a NIC or bond untagged."""
        segment = self.wiring.of_link(self.name, name)
        if segment is not None and segment.vlan is not None:
            tag = f"{name}.{segment.vlan}: {{link: {name}, id: {segment.vlan}, address: …}}"
            self.found.add(
                "VLAN-TAGGED",
                f"{what} on {segment.label}, which arrives with VLAN {segment.vlan}",
                path,
                hint=f"give it to a link with that tag: vlans: {{{tag}}}",
                also=[("the tag", ("networks", segment.network or "", "vlan"))],
            )

    def default_routes(self) -> None:
        """One default gateway per family, reached from an address."""
        first: dict[tuple[int, int | None], tuple[str, Path]] = {}
        for key, _, name, link in self.entry.links():
            path: Path = (*self.top, key, name, "gateway")
            listens = link.ipv6 in LISTENING
            if (
                link.gateway
                and not link.address
                and not listens
                and not self.found.is_broken((*self.top, key, name, "address"))
            ):
                message = f"'{name}' of host '{self.name}' has a gateway but no address to reach it from"
                self.found.add("GATEWAY", message, path, hint="give it an address, or remove the gateway")
            for index, gateway in enumerate(link.gateway):
                where = (*path, index)
                family = f"IPv{gateway.version}"
                rank = gateway.version, link.metric
                if rank in first:
                    other, at = first[rank]
                    self.found.add(
                        "GATEWAY-TWICE",
                        f"host '{self.name}' has two {family} default gateways, on '{other}' and on '{name}'",
                        where,
                        hint="keep the one on the network that leads out, or give each link its own 'metric'",
                        also=[("the first", at)],
                    )
                first.setdefault(rank, (name, where))


def is_below(wiring: DocumentWiring, host: str, bridge: str, role: str, link: str, path: Path) -> bool:
    """Whether a link that a bridge names as uplink or port can be under it; a problem is noted if it cannot."""
    entry, tables = wiring.document.hosts[host], ("nics", "bonds", "vlans")
    if any(link in getattr(entry, table) or wiring.found.is_broken(("hosts", host, table, link)) for table in tables):
        return True
    known = [name for table in tables for name in getattr(entry, table)]
    hint = suggest(link, known, kind="NIC, bond or VLAN link")
    base, dot, tag = link.rpartition(".")
    if role == "uplink" and dot and base in known:
        hint = f"write uplink: {base}, vlan: {tag}"
    elif link in entry.bridges:
        article = "an" if role == "uplink" else "a"
        hint = f"'{link}' is a bridge; bridges are joined by 'patch'; {article} {role} is a NIC, a bond or a VLAN link"
    elif link in NO_UPLINK:
        hint = "leave 'ports' out for a bridge with no further NIC"
    message = f"{role} '{link}' of bridge '{bridge}' is neither a NIC nor a bond nor a VLAN link of host '{host}'"
    wiring.found.add("UNKNOWN-NAME", message, path, hint=hint)
    return False


def unknown_vlan(wiring: DocumentWiring, vid: int, path: Path) -> None:
    """Note a tag with which no network arrives."""
    networks = wiring.document.networks
    if any(network.vlan == vid for network in networks.values()) or any(
        p[0] == "networks" for p in wiring.found.broken
    ):
        return
    known = ", ".join(f"{network.vlan} ({name})" for name, network in networks.items() if network.vlan is not None)
    wiring.found.add(
        "UNKNOWN-VLAN",
        f"no network arrives with VLAN {vid}",
        path,
        hint=f"known: {known}" if known else f"say which one it is: networks: NAME: {{vlan: {vid}}}",
    )
