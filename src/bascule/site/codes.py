"""The codes of a site file's problems, with their meaning. Stable: scripts and documentation refer to them.

Each has at least one case in tests/errors; a new code without one fails the suite.
"""

from __future__ import annotations

CODES = {
    # the text
    "ENCODING": "the file is not UTF-8",
    "CONTROL-CHARACTER": "an invisible character stands in the file or inside a value",
    "TAB": "a tab stands in the indentation",
    "YAML": "the text is not YAML",
    "DUPLICATE-KEY": "a key stands twice in one mapping",
    "ANCHOR": "an anchor, alias or merge key; each thing is named once and refers by name",
    "TAG": "a YAML tag; a value's meaning comes from its key",
    "DOCUMENTS": "more than one YAML document",
    "DEPTH": "nesting deeper than any site file",
    "EMPTY": "nothing is in the file",
    "NOT-A-MAPPING": "the file does not consist of keys",
    # the shape
    "UNKNOWN-KEY": "a key that has no meaning at this place",
    "MISSING-KEY": "a key that must be there",
    "TYPE": "a mapping, list or text stands where something else was expected",
    "NAME": "not a name, or not one that the kernel takes for a link",
    "NAME-LONG": "a link's name has more than 15 bytes",
    "MAC": "not a MAC address of one NIC",
    "ADDRESS": "not an address that a NIC can have",
    "SUBNET": "not a subnet",
    "VLAN-RANGE": "not a VLAN number from 1 to 4094",
    "COUNT": "a number that is impossible here",
    "MTU": "an MTU that is impossible here",
    "SIZE": "not a size of memory with a binary unit",
    "SERVICE": "not a service like tcp/80, udp/53, icmp or arp",
    "PORT": "not a port from 1 to 65535",
    "RANGE": "not a range of IPv4 addresses",
    "CHOICE": "not one of the words that are possible here",
    # names that lead somewhere, and things that are there once
    "UNKNOWN-NAME": "a reference to something that the file does not declare",
    "UNKNOWN-VLAN": "a VLAN with which no network arrives",
    "DUPLICATE-NAME": "two things share a name",
    "DUPLICATE-MAC": "two NICs share a MAC",
    "DUPLICATE-ADDRESS": "two NICs share an address",
    "DUPLICATE-LINK": "two links of one host share a name, derived tap and VLAN names included",
    "DUPLICATE-PORT": "two NICs share a slot or a switch port",
    "DUPLICATE-VLAN": "two networks share a VLAN",
    "DUPLICATE-SERVICE": "a port is served twice",
    # networks and addresses
    "SUBNET-OVERLAP": "two subnets share addresses",
    "ADDRESS-SUBNET": "an address outside the subnet of its network",
    "ADDRESS-PREFIX": "an address with another prefix length than its subnet",
    "GATEWAY": "a gateway that cannot be a neighbour, or one too many",
    "GATEWAY-TWICE": "two default gateways of one family on one host",
    "ROUTE": "a route by a router that is no neighbour",
    "DHCP-RANGE": "a DHCP range outside its subnet, or over another",
    "DHCP-STATIC": "a fixed address inside a DHCP range",
    "DHCP-SERVER": "a DHCP server without an address on the network that it serves",
    "DHCP-NOBODY": "somebody asks for an address where nobody serves DHCP",
    # hosts
    "BRIDGE-UPLINK": "a bridge without an uplink that does not say so on purpose",
    "BRIDGE-VLAN": "a bridge whose VLAN keys contradict each other or its uplink",
    "UPLINK-TWICE": "a NIC with two masters",
    "ENSLAVED-ADDRESS": "an address on a NIC that is under a bridge or in a bond",
    "FROM-UPLINK": "a bridge takes an address from an uplink that has none to give",
    "BOND": "a bond without members, or over several networks",
    "VLAN-TAGGED": "untagged use of a network that arrives tagged",
    "FORWARD": "a port forward that cannot work",
    # guests
    "PLUG": "a guest NIC that is not plugged into exactly one thing",
    "BRIDGE-FULL": "more ports on one bridge than the kernel has numbers for",
    "VLAN-UNAWARE": "a guest's VLAN where no VLAN-aware bridge is",
    "DIRECT-ENSLAVED": "macvtap on a NIC that has a master",
    # access
    "EXPECT-SELF": "an expectation from a thing to itself",
    "EXPECT-SILENT": "an expectation of somebody without an address",
    "EXPECT-SERVICE": "an expectation whose outcome says nothing about the network",
    "EXPECT-MACVTAP": "an expectation between a host and a guest that shares its only NIC",
    "EXPECT-SEEN-AS": "'seen_as' where nothing can be seen",
    "EXPECT-REPEATED": "an expectation that stands there already",
    "EXPECT-CONTRADICTION": "two expectations that cannot both hold",
    "MASQUERADE": "a masquerade by a machine that is not in between",
}
