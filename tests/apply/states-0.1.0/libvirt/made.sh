ip link add name br4 address 02:00:00:00:00:14 type bridge forward_delay 0 mcast_snooping 0
ip link set dev br4 alias bascule:t
ip link set dev br4 addrgenmode none
ip link set dev eth4 addrgenmode none
ip link set dev vnet0 addrgenmode none
sysctl -q -w net/ipv4/conf/br4/arp_ignore=1
sysctl -q -w net/ipv6/conf/br4/accept_ra=0
sysctl -q -w net/ipv6/conf/eth4/accept_ra=0
sysctl -q -w net/ipv6/conf/vnet0/accept_ra=0
ip link set dev br4 up
ip link set dev eth4 master br4
ip address del fe80::ff:fe00:14/64 dev eth4
ip address del fe80::fc54:ff:fefa:ff1/64 dev vnet0
