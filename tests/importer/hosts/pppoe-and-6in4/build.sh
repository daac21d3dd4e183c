nic wan 52:54:00:75:00:01
nic lan 52:54:00:75:00:02
ip link add link wan name wan.7 type vlan id 7
ip link set wan.7 up
ip tuntap add dev ppp0 mode tun
ip link set ppp0 mtu 1492 up
ip addr add 198.51.100.75 peer 198.51.100.1/32 dev ppp0
ip route add default dev ppp0
ip tunnel add he6 mode sit remote 203.0.113.75 local 198.51.100.75 ttl 64
ip link set he6 mtu 1472 up
ip -6 addr add 2001:db8:75::2/64 dev he6 nodad
ip -6 route add ::/0 via 2001:db8:75::1 dev he6
ip link add name br-lan address 52:54:00:75:00:02 type bridge
ip link set lan master br-lan
ip addr add 192.168.75.1/24 dev br-lan
ip -6 addr add fd75::1/64 dev br-lan nodad
ip link set br-lan up
