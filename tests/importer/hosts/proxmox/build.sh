# Proxmox VE 8: a VLAN-aware bridge with a trunk, a storage VLAN of the bridge, guests with and without its firewall,
# a container, a VNet of SDN's VLAN zone and one of its VXLAN zone.
nic eno1 3c:ec:ef:61:00:01
nic eno2 3c:ec:ef:61:00:02
ip link add vmbr0 address 3c:ec:ef:61:00:01 type bridge vlan_filtering 1 forward_delay 0
ip link set eno1 master vmbr0
bridge vlan add dev eno1 vid 2-4094
ip link set vmbr0 up
ip addr add 10.61.0.11/24 dev vmbr0
ip route add default via 10.61.0.1 dev vmbr0 proto kernel onlink
bridge vlan add dev vmbr0 vid 62 self
ip link add link vmbr0 name vmbr0.62 type vlan id 62
ip link set vmbr0.62 up
ip addr add 10.62.0.11/24 dev vmbr0.62
ip route add 10.66.0.0/16 via 10.62.0.1 dev vmbr0.62
ip link add vmbr1 address 3c:ec:ef:61:00:02 mtu 1500 type bridge forward_delay 0
ip link set eno2 master vmbr1
ip link set vmbr1 up
tap tap100i0 fe:61:00:00:10:00
ip link set tap100i0 master vmbr0
bridge vlan del dev tap100i0 vid 1
bridge vlan add dev tap100i0 vid 30 pvid untagged
ip link add fwbr101i0 address fe:61:00:00:10:11 type bridge forward_delay 0
ip link add fwln101i0 address fe:61:00:00:10:12 type veth peer name fwpr101p0 address fe:61:00:00:10:13
tap tap101i0 fe:61:00:00:10:10
ip link set tap101i0 master fwbr101i0
ip link set fwln101i0 master fwbr101i0
ip link set fwpr101p0 master vmbr0
for each in fwbr101i0 fwln101i0 fwpr101p0; do ip link set $each up; done
bridge vlan del dev fwpr101p0 vid 1
bridge vlan add dev fwpr101p0 vid 40 pvid untagged
container veth103i0 fe:61:00:00:10:30
ip link set veth103i0 master vmbr0
ip link add lan40 address fe:61:00:00:40:00 type bridge forward_delay 0
ip link add ln_lan40 address fe:61:00:00:40:01 type veth peer name pr_lan40 address fe:61:00:00:40:02
ip link set ln_lan40 master lan40
ip link set pr_lan40 master vmbr0
bridge vlan del dev pr_lan40 vid 1
bridge vlan add dev pr_lan40 vid 40 pvid untagged
for each in lan40 ln_lan40 pr_lan40; do ip link set $each up; done
ip link add ovl1 address fe:61:00:00:50:00 mtu 1450 type bridge forward_delay 0
ip link add vxlan_ovl1 address fe:61:00:00:50:01 mtu 1450 type vxlan id 11000 dstport 4789 local 10.61.0.11 nolearning
ip link set vxlan_ovl1 master ovl1
ip link set ovl1 up
ip link set vxlan_ovl1 up
