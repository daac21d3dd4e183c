#!/bin/sh
# Bascule writes this file and takes it away again
set -e
nft -f - <<'.'
table inet bascule_lab
delete table inet bascule_lab
table inet bascule_lab {
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname "vn-lab" oifname "vn-lab" accept
		oifname "vn-lab" ip daddr 192.168.150.0/24 ct state established,related accept
		iifname "vn-lab" ip saddr 192.168.150.0/24 accept
		oifname "vn-lab" reject
		iifname "vn-lab" reject
	}

	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		ip saddr 192.168.150.0/24 ip daddr 224.0.0.0/24 return
		ip saddr 192.168.150.0/24 ip daddr 255.255.255.255 return
		meta l4proto tcp ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade to :1024-65535
		meta l4proto udp ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade to :1024-65535
		ip saddr 192.168.150.0/24 ip daddr != 192.168.150.0/24 masquerade
	}
}
.
sysctl -q -w net/ipv4/ip_forward=1
if ! ip link show dev vn-lab > /dev/null 2>&1; then
ip link add name vn-lab address 52:54:00:eb:09:bd type bridge forward_delay 0 mcast_snooping 0
ip link set dev vn-lab alias bascule:t
ip link set dev vn-lab addrgenmode none
sysctl -q -w net/ipv6/conf/vn-lab/accept_ra=0
ip link set dev vn-lab up
ip address replace 192.168.150.1/24 dev vn-lab
fi
