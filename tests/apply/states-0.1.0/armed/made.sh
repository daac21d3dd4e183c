nft -f - <<'.'
table inet bascule_lab
delete table inet bascule_lab
table inet bascule_lab {
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname "vn-lab" oifname "vn-lab" accept
		oifname "vn-lab" ip daddr 192.168.150.0/24 ct state established,related accept
		iifname "vn-lab" ip saddr 192.168.150.0/24 accept
		oifname "vn-lab" ct status dnat accept
		oifname "vn-lab" reject
		iifname "vn-lab" reject
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local tcp dport 2222 dnat ip to 192.168.150.9:22
	}

	chain output {
		type nat hook output priority -100; policy accept;
		fib daddr type local ip daddr != 127.0.0.0/8 tcp dport 2222 dnat ip to 192.168.150.9:22
	}

	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		oifname "vn-lab" ip saddr 192.168.150.0/24 ct status dnat masquerade
		ip saddr 192.168.150.0/24 ip daddr 224.0.0.0/24 return
		ip saddr 192.168.150.0/24 ip daddr 255.255.255.255 return
		meta l4proto tcp ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade to :1024-65535
		meta l4proto udp ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade to :1024-65535
		ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade
	}
}
.
ip link add name br0 address 02:00:00:00:00:10 type bridge forward_delay 0 mcast_snooping 0
ip link set dev br0 alias bascule:t
ip link add name br3 address 02:00:00:00:00:14 type bridge forward_delay 0 mcast_snooping 0
ip link set dev br3 alias bascule:t
ip link add name vn-lab address 52:54:00:eb:09:bd type bridge forward_delay 0 mcast_snooping 0
ip link set dev vn-lab alias bascule:t
ip link set dev br3 addrgenmode none
ip link set dev vn-lab addrgenmode none
ip link set dev eth0 addrgenmode none
ip link set dev eth4 addrgenmode none
ip link set dev vnet1 addrgenmode none
sysctl -q -w net/ipv4/conf/br3/arp_ignore=1
sysctl -q -w net/ipv6/conf/br0/accept_ra=1
sysctl -q -w net/ipv6/conf/br0/autoconf=1
sysctl -q -w net/ipv6/conf/br0/use_tempaddr=0
sysctl -q -w net/ipv6/conf/br3/accept_ra=0
sysctl -q -w net/ipv6/conf/eth0/accept_ra=0
sysctl -q -w net/ipv6/conf/eth4/accept_ra=0
sysctl -q -w net/ipv6/conf/vn-lab/accept_ra=0
sysctl -q -w net/ipv6/conf/vnet1/accept_ra=0
sysctl -q -w net/ipv4/ip_forward=1
ip link set dev br0 up
ip link set dev br3 up
ip link set dev vn-lab up
ip address replace 10.0.0.5/24 dev br0 valid_lft 3600 preferred_lft 1800
ip address replace fd00::99/64 dev br0 nodad valid_lft 7200 preferred_lft 7000
ip address replace fd00::5/64 dev br0 nodad
ip address replace 192.168.150.1/24 dev vn-lab
ip link set dev eth0 master br0
ip link set dev eth4 master br3
ip link set dev vnet1 master br3
ip route replace 0.0.0.0/0 via 10.0.0.1 dev br0 table 77
ip route replace 0.0.0.0/0 via 10.0.0.1 dev br0 src 10.0.0.5 metric 100 proto dhcp
ip route replace 10.8.0.0/16 via 10.0.0.1 dev br0
ip route replace ::/0 via fd00::1 dev br0 metric 512
ip address del fe80::ff:fe00:10/64 dev eth0
ip address del fd00::5/64 dev eth0
ip address del fd00::99/64 dev eth0
ip address del 10.0.0.5/24 dev eth0
ip -6 route flush dev eth0 proto kernel
ip address del fe80::ff:fe00:14/64 dev eth4
ip address del fe80::ff:fe00:101/64 dev vnet1
