# A router between two providers: a table for each, rules by source, by mark and by interface, tunnels, a black hole.
nic wan1 00:0d:b9:64:00:01
nic wan2 00:0d:b9:64:00:02
nic lan 00:0d:b9:64:00:03
nic opt1 00:0d:b9:64:00:04
ip link set opt1 down
ip addr add 203.0.113.10/29 dev wan1
ip addr add 203.0.113.11/29 dev wan1
ip addr add 198.51.100.66/30 dev wan2
ip addr add 10.64.0.1/24 dev lan
ip addr add 192.168.64.1/24 dev lan label lan:1
ip -6 addr add 2001:db8:64::1/64 dev lan nodad
ip -6 addr add 2001:db8:a::10/64 dev wan1 nodad
ip addr add 10.255.64.1/32 dev lo
ip route add default metric 50 nexthop via 203.0.113.9 dev wan1 weight 3 nexthop via 198.51.100.65 dev wan2 weight 1
ip route add default via 203.0.113.9 dev wan1 table 101
ip route add 10.64.0.0/24 dev lan table 101
ip route add default via 198.51.100.65 dev wan2 table 102
ip route add 10.64.0.0/24 dev lan table 102
ip -6 route add default via 2001:db8:a::1 dev wan1 metric 512
ip -6 route add default via 2001:db8:a::1 dev wan1 table 101
ip route add 10.80.0.0/16 via 10.64.0.254 dev lan proto static src 10.64.0.1 mtu 1400
ip route add blackhole 10.0.0.0/8 metric 4000
ip route add unreachable 192.0.2.0/24
ip rule add pref 1000 from 203.0.113.10 lookup 101
ip rule add pref 1001 from 198.51.100.66 lookup 102
ip rule add pref 1100 fwmark 0x2 lookup 102
ip rule add pref 1101 fwmark 0x10/0xf0 lookup 101
ip rule add pref 1200 iif lan to 192.0.2.128/25 lookup 102
ip rule add pref 1300 from 10.64.0.0/24 ipproto tcp dport 25 lookup 102
ip rule add pref 1400 from 10.64.0.77 blackhole
ip rule add pref 1500 from all lookup main suppress_prefixlength 0
ip -6 rule add pref 1000 from 2001:db8:a::/48 lookup 101
ip link add gre1 type gre local 203.0.113.10 remote 192.0.2.1 ttl 64
ip link set gre1 up mtu 1476
ip addr add 10.99.64.1/30 dev gre1
ip route add 10.90.0.0/16 dev gre1
ip link add wg0 mtu 1420 type wireguard
ip link set wg0 up
ip addr add 10.98.64.1/24 dev wg0
ip route add 10.91.0.0/16 dev wg0
ip link add link lan name lan.99 type vlan id 99
ip link set lan.99 up
ip addr add 10.64.99.1/24 dev lan.99
