# keepalived with use_vmac, and a static VIP beside it
nic eth0 52:54:00:72:00:01
nic eth1 52:54:00:72:00:02
ip addr add 192.0.2.11/24 dev eth0
ip addr add 192.0.2.100/32 dev eth0
ip addr add 10.72.0.2/24 dev eth1
ip link add link eth0 name vrrp.51 address 00:00:5e:00:01:33 type macvlan mode private
ip addr add 192.0.2.200/32 dev vrrp.51
ip link set vrrp.51 up
ip route add default via 192.0.2.1 dev eth0 proto static src 192.0.2.100
ip rule add pref 100 from 192.0.2.200 lookup 51
ip route add default via 192.0.2.1 dev eth0 table 51
