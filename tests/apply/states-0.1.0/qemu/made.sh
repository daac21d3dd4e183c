ip link add name br4 address 02:00:00:00:00:14 type bridge forward_delay 0 mcast_snooping 0
ip link set dev br4 alias bascule:t
ip link add name br5 address 52:54:00:04:2f:d7 type bridge forward_delay 0 mcast_snooping 0
ip link set dev br5 alias bascule:t
ip link set dev br4 addrgenmode none
ip link set dev br5 addrgenmode none
ip link set dev eth4 addrgenmode none
sysctl -q -w net/ipv4/conf/br4/arp_ignore=1
sysctl -q -w net/ipv4/conf/br5/arp_ignore=1
sysctl -q -w net/ipv6/conf/br4/accept_ra=0
sysctl -q -w net/ipv6/conf/br5/accept_ra=0
sysctl -q -w net/ipv6/conf/eth4/accept_ra=0
ip link set dev br4 up
ip link set dev br5 up
ip link set dev eth4 master br4
ip link set dev eth4 up
