# a leaf of EVPN with FRR: two VXLANs in one VLAN-aware bridge, an SVI in a VRF
nic swp1 44:38:39:73:00:01 9216
nic swp2 44:38:39:73:00:02 9216
nic swp51 44:38:39:73:00:03 9216
ip addr add 10.0.73.1/32 dev lo
ip link add name bridge address 44:38:39:73:00:10 type bridge vlan_filtering 1 vlan_default_pvid 1 stp_state 1 mcast_snooping 0
ip link set bridge mtu 9216
for p in swp1 swp2; do ip link set $p master bridge; done
bridge vlan add dev swp1 vid 10 pvid untagged
bridge vlan del dev swp1 vid 1
bridge vlan add dev swp2 vid 10
bridge vlan add dev swp2 vid 20-22
ip link add vni10 mtu 9166 address 02:73:00:00:00:10 type vxlan id 10010 local 10.0.73.1 dstport 4789 nolearning
ip link add vni20 mtu 9166 address 02:73:00:00:00:20 type vxlan id 10020 local 10.0.73.1 dstport 4789 nolearning
for v in vni10 vni20; do ip link set $v master bridge; bridge link set dev $v learning off neigh_suppress on; done
bridge vlan add dev vni10 vid 10 pvid untagged
bridge vlan del dev vni10 vid 1
bridge vlan add dev vni20 vid 20 pvid untagged
bridge vlan del dev vni20 vid 1
bridge vlan add dev bridge vid 10 self
bridge vlan add dev bridge vid 20 self
ip link add red address 02:73:00:00:00:30 type vrf table 1001
ip link set red up
ip link add link bridge name vlan10 address 44:38:39:73:00:10 type vlan id 10
ip link add link bridge name vlan20 address 44:38:39:73:00:10 type vlan id 20
ip link set vlan10 master red
for l in bridge vni10 vni20 vlan10 vlan20; do ip link set $l up; done
ip addr add 10.73.10.1/24 dev vlan10
ip addr add 10.73.20.1/24 dev vlan20
ip route add default via 10.73.10.254 dev vlan10 vrf red
ip addr add 10.73.51.0/31 dev swp51
ip route add 10.0.73.2/32 via 10.73.51.1 dev swp51 proto static metric 20
