# OpenStack with neutron's Linux bridge agent: a management NIC, a provider VLAN, an overlay network with DHCP and router.
nic eth0 00:25:90:62:00:01
nic eth1 00:25:90:62:00:02
ip addr add 10.70.0.21/24 dev eth0
ip route add default via 10.70.0.1 dev eth0 proto static
ip link add link eth1 name eth1.101 type vlan id 101
ip link add brq6b1f2c3d-4e address 00:25:90:62:00:02 type bridge forward_delay 0
ip link set eth1.101 master brq6b1f2c3d-4e
tap tap0a1b2c3d-4e fe:16:3e:01:02:03
ip link set tap0a1b2c3d-4e master brq6b1f2c3d-4e
ip link add vxlan-64 address 76:01:62:00:00:64 type vxlan id 64 group 224.0.0.64 dev eth0 local 10.70.0.21 dstport 8472 ageing 300
ip link add brqaa11bb22-cc address 76:01:62:00:00:64 mtu 1450 type bridge forward_delay 0
ip link set vxlan-64 master brqaa11bb22-cc
tap tap5566aabb-11 fe:16:3e:01:02:04
ip link set tap5566aabb-11 mtu 1450 master brqaa11bb22-cc
container tapd1c2b3a4-55 12:62:00:00:00:01
ip link set tapd1c2b3a4-55 mtu 1450 master brqaa11bb22-cc
for each in eth1.101 brq6b1f2c3d-4e vxlan-64 brqaa11bb22-cc; do ip link set $each up; done
