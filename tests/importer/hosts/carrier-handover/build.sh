# a carrier's handover: QinQ on a bond, a bridge over the inner tag, jumbo frames, an IPv6-only management link
nic ens1f0 3c:fd:fe:74:00:01 9000
nic ens1f1 3c:fd:fe:74:00:02 9000
nic eno3 3c:fd:fe:74:00:03
ip link set ens1f0 down; ip link set ens1f1 down
ip link add bond0 address 3c:fd:fe:74:00:01 mtu 9000 type bond mode 802.3ad miimon 100 lacp_rate fast xmit_hash_policy vlan+srcmac updelay 200 downdelay 200 ad_actor_sys_prio 1000 ad_actor_system 02:74:00:00:00:aa
ip link set ens1f0 master bond0
ip link set ens1f1 master bond0
for l in bond0 ens1f0 ens1f1; do ip link set $l up; done
ip link add link bond0 name bond0.1000 type vlan proto 802.1ad id 1000
ip link set bond0.1000 up
ip link add link bond0.1000 name cust7 type vlan id 7 ingress-qos-map 1:2 egress-qos-map 2:5
ip link set cust7 up
ip link add name br-cust address 3c:fd:fe:74:00:01 mtu 9000 type bridge ageing_time 60000 group_fwd_mask 8
ip link set br-cust up
ip link set cust7 master br-cust
ip addr add 10.74.7.1/24 dev cust7 2>/dev/null
ip addr flush dev cust7
ip -6 addr add 2001:db8:74::3/64 dev eno3 nodad
ip -6 route add default via fe80::1 dev eno3
ip addr flush dev eno3 scope link 2>/dev/null || true
