# A rented server: a single address with the router outside of it, a routed /64, a subnet for guests, the hoster's VLAN.
nic enp0s31f6 90:1b:0e:67:00:01
ip addr add 203.0.113.67/32 dev enp0s31f6
ip route add default via 203.0.113.65 dev enp0s31f6 proto static onlink
ip -6 addr add 2001:db8:67::2/64 dev enp0s31f6 nodad
ip -6 route add default via fe80::1 dev enp0s31f6 proto static metric 1024
ip link add vmbr0 type bridge forward_delay 0
ip link set vmbr0 up
ip addr add 203.0.113.67/32 dev vmbr0
ip -6 addr add 2001:db8:67::3/64 dev vmbr0 nodad noprefixroute
ip route add 198.51.100.67/32 dev vmbr0
ip -6 route add 2001:db8:67:1::/80 dev vmbr0
ip link add vmbr1 type bridge forward_delay 0
ip link set vmbr1 up
ip addr add 198.51.100.129/28 dev vmbr1
ip link add link enp0s31f6 name enp0s31f6.4001 type vlan id 4001
ip link set enp0s31f6.4001 mtu 1400 up
ip addr add 10.67.1.2/24 dev enp0s31f6.4001
ip route add 10.67.0.0/16 via 10.67.1.1 dev enp0s31f6.4001
