"""Bonds of a host as the site file writes them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from bascule.model import links
from bascule.model.links import BOND_KEYS, BONDS
from bascule.model.links.bond import WORDS
from bascule.model.values import IfName
from bascule.site import scalars as s
from bascule.site.document.links import WiredLink
from bascule.site.entry import Listed, Many

BOND_MODES = (
    "active-backup",
    "802.3ad",
    "balance-rr",
    "balance-xor",
    "broadcast",
    "balance-tlb",
    "balance-alb",
    *(mode for kind in BONDS.values() for mode in kind.alone),
)


def _one_of(option: str, noun: str) -> Any:
    """A word of the driver."""
    return s.choice(*WORDS[option], noun=noun)


class Bond(WiredLink):
    """Several NICs as one, usable as an uplink; the host can have addresses on it as on a NIC."""

    model_config = ConfigDict(title="a bond")

    nics: Listed[s.Member] = Field(
        description="Its members (names under 'nics'), which carry no address; 'unknown' among them (from an import) "
        "must be named before a plan is made."
    )
    mode: Annotated[str, s.choice(*BOND_MODES, noun="a bonding mode")] = Field(
        "active-backup",
        description="The kernel's bonding mode; 802.3ad needs LACP on the switch. balance-slb and balance-tcp (with "
        "LACP) are Open vSwitch's, for the uplink of such a bridge.",
    )
    kind: Annotated[str, s.choice(*BONDS, noun="a kind of bond")] | None = Field(
        None, description="Who makes it: the kernel (linux), or Open vSwitch, which makes active-backup as well."
    )
    miimon: s.Milliseconds | None = Field(
        None, description="How often it checks its members' carrier, in milliseconds; 100 for a bond that is made."
    )
    updelay: s.Milliseconds | None = Field(None, description="How long a member waits after its carrier came, in ms.")
    downdelay: s.Milliseconds | None = Field(None, description="How long a member stays after its carrier went, in ms.")
    hash_policy: Annotated[str, _one_of("xmit_hash_policy", "a hash policy")] | None = Field(
        None, description="The transmit hash: by what balance-xor and 802.3ad choose a member for a frame."
    )
    lacp_rate: Annotated[str, _one_of("ad_lacp_rate", "a rate of LACP")] | None = Field(
        None, description="How often 802.3ad asks its partner for an LACPDU: every 30 s, or every second."
    )
    primary: s.LinkName | None = Field(None, description="The member that carries the frames whenever it has carrier.")
    min_links: s.MemberCount | None = Field(
        None, description="How many members must have carrier for the bond to have it (802.3ad); 1 if not given."
    )
    ad_select: Annotated[str, _one_of("ad_select", "a choice of aggregates")] | None = Field(
        None, description="When 802.3ad selects another aggregator, and whether by bandwidth or by the number of ports."
    )

    primary_reselect: Annotated[str, _one_of("primary_reselect", "a way back to the primary")] | None = Field(
        None, description="When the primary carries the frames again: always, if it is better, or after a failure."
    )
    arp_interval: s.Milliseconds | None = Field(
        None, description="How often members are watched by ARP, in ms, in place of `miimon`; needs `arp_ip_target`."
    )
    arp_ip_target: Many[s.Address] = Field((), description="Whom it asks by ARP: up to 16 addresses.")
    arp_validate: Annotated[str, _one_of("arp_validate", "a way to validate ARP")] | None = Field(
        None, description="Of which members ARP that comes in must be that which was asked for."
    )
    arp_all_targets: Annotated[str, _one_of("arp_all_targets", "how many targets")] | None = Field(
        None, description="Whether one of the targets must answer, or all, where ARP is validated."
    )
    fail_over_mac: Annotated[str, _one_of("fail_over_mac", "a fail-over of the MAC")] | None = Field(
        None, description="Whether all members have one MAC (none), or it changes with the active one."
    )
    num_grat_arp: s.PeerNotices | None = Field(
        None, description="How many gratuitous ARP and unsolicited ND frames it sends after a fail-over."
    )
    resend_igmp: s.PeerNotices | None = Field(None, description="How many IGMP reports it sends after a fail-over.")
    all_slaves_active: s.Boolean | None = Field(None, description="Frames that come in on inactive members are taken.")
    packets_per_slave: s.PacketCount | None = Field(
        None, description="After how many packets balance-rr takes the next member; 0 for one by chance."
    )
    lp_interval: s.Seconds | None = Field(
        None, description="How often balance-tlb and balance-alb send learning packets to the switch, in seconds."
    )

    @property
    def below(self) -> tuple[IfName, ...]:
        """Its members, and 'unknown' where it is among them."""
        return self.nics

    @property
    def options(self) -> dict[str, Any]:
        """The options of the bond that the file says, by its keys."""
        values = {key: getattr(self, key) for key in BOND_KEYS}
        return {key: value for key, value in values.items() if value is not None and value != ()}

    @property
    def made(self) -> type[links.Bond]:
        """What it is on the host: where the file does not say who makes it, a mode may that the kernel lacks."""
        alone = (kind for kind in BONDS.values() if self.mode in kind.alone)
        return BONDS[self.kind] if self.kind is not None else next(alone, links.Bond)

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel makes it."""
        return self.made.by_kernel
