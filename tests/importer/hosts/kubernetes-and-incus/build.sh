# A node of Kubernetes with Calico and flannel's bridge, and Incus beside it.
nic eth0 52:54:00:66:00:01
ip addr add 10.66.0.31/20 dev eth0
ip route add default via 10.66.0.1 dev eth0 onlink
ip link add cni0 address 0a:58:0a:f4:01:01 mtu 1450 type bridge
ip addr add 10.244.1.1/24 brd 10.244.1.255 dev cni0
container veth8d7c6b5a 02:66:00:00:00:01
ip link set veth8d7c6b5a mtu 1450 master cni0
ip link add flannel.1 address 02:66:00:00:00:02 mtu 1450 type vxlan id 1 dev eth0 local 10.66.0.31 dstport 8472 nolearning
ip addr add 10.244.1.0/32 dev flannel.1
ip link set flannel.1 up
ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
container cali0a1b2c3d4e5 ee:ee:ee:ee:ee:ee
ip route add 10.233.70.7 dev cali0a1b2c3d4e5 scope link
ip route add blackhole 10.233.70.0/26 proto 80
ip link add kube-ipvs0 address 02:66:00:00:00:03 type dummy
ip addr add 10.233.0.1/32 dev kube-ipvs0
ip link add nodelocaldns address 02:66:00:00:00:04 type dummy
ip addr add 169.254.25.10/32 dev nodelocaldns
ip link add incusbr0 address 00:16:3e:66:00:01 type bridge forward_delay 1500
ip addr add 10.166.0.1/24 dev incusbr0
tap tapdeadbee1 fe:66:00:00:00:05
ip link set tapdeadbee1 master incusbr0
ip link add link eth0 name mac0 address 02:66:00:00:00:06 type macvlan mode bridge
ip addr add 10.66.0.32/32 dev mac0
for each in cni0 incusbr0 mac0; do ip link set $each up; done
