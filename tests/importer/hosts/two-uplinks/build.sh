# Two providers at once: a default route by both, a table and a rule for each, rules and routes that refuse, an address for AnyIP.
nic wan1 52:54:00:7b:00:01
nic wan2 52:54:00:7b:00:02 1492
nic lan1 52:54:00:7b:00:03
ip addr add 203.0.113.10/29 dev wan1
ip addr add 198.51.100.10/30 dev wan2
ip link add br0 address 52:54:00:7b:00:03 type bridge stp_state 1
ip link set lan1 master br0
ip addr add 10.123.0.1/24 dev br0
ip link set br0 up
ip route add default nexthop via 203.0.113.9 dev wan1 weight 2 nexthop via 198.51.100.9 dev wan2
ip route add default via 203.0.113.9 dev wan1 table 101
ip route add 203.0.113.8/29 dev wan1 src 203.0.113.10 table 101
ip route add default via 198.51.100.9 dev wan2 table 102
ip route add unreachable default metric 4278198272
ip rule add priority 1101 from 203.0.113.10 table 101
ip rule add priority 1102 from 198.51.100.10 table 102
ip rule add priority 1200 fwmark 0x2/0xf table 102
ip rule add priority 1300 from 10.123.0.66 prohibit
ip rule add priority 1301 to 10.0.0.0/8 iif br0 blackhole
ip rule add priority 1302 ipproto tcp dport 25 iif br0 unreachable
ip route add local 203.0.113.14 dev lo
ip route add blackhole 10.0.0.0/8
ip addr add 10.123.1.1 peer 10.123.1.2 dev br0
ip addr add 10.123.0.2/24 dev br0 label br0:vip
