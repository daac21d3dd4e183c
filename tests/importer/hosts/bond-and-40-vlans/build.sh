# A server of a company: a bond by LACP, 40 VLANs of it and a bridge over each, and the host's own VLAN.
nic ens1f0 b4:96:91:65:00:01 9000
nic ens1f1 b4:96:91:65:00:02 9000
ip link add bond0 address b4:96:91:65:00:01 type bond mode 802.3ad miimon 100 updelay 200 downdelay 200 lacp_rate fast xmit_hash_policy layer3+4 min_links 1
for each in ens1f0 ens1f1; do ip link set $each down; ip link set $each master bond0; ip link set $each up; done
ip link set bond0 mtu 9000 up
ip link add link bond0 name bond0.10 type vlan id 10
ip link set bond0.10 mtu 1500 up
ip addr add 10.65.10.5/24 dev bond0.10
ip route add default via 10.65.10.1 dev bond0.10 proto static
for vid in $(seq 101 140); do
    ip link add link bond0 name bond0.$vid type vlan id $vid
    ip link add br$vid address b4:96:91:65:00:01 mtu 9000 type bridge forward_delay 0
    ip link set bond0.$vid mtu 9000 master br$vid up
    ip link set br$vid up
done
for vid in 101 102 102; do
    n=$((n+1))
    tap vnet$n fe:54:00:65:00:0$n
    ip link set vnet$n mtu 9000 master br$vid
done
ip link set br101 type bridge ageing_time 15000 priority 4096 mcast_querier 1 group_fwd_mask 8
ip link set bond0.102 type bridge_slave hairpin on
