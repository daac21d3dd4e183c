# A host bridge with a macvlan of its own beside it, wg-quick with a table and marks, and Podman's networks.
nic eno1 52:54:00:7a:00:01
ip link add br0 address 52:54:00:7a:00:01 type bridge forward_delay 0
ip link set eno1 master br0
ip addr add 192.168.122.9/24 dev br0
ip link set br0 up
ip route add default via 192.168.122.1 dev br0
ip link add link br0 name shim0 address 02:7a:00:00:00:09 type macvlan mode bridge
ip addr add 192.168.122.250/32 dev shim0
ip link set shim0 up
ip route add 192.168.122.192/27 dev shim0
ip link add wg0 mtu 1420 type wireguard
ip addr add 10.6.0.1/24 dev wg0
ip link set wg0 up
ip route add 10.7.0.0/16 dev wg0
ip route add default dev wg0 table 51820
ip rule add priority 101 not fwmark 0xca6c table 51820
ip rule add priority 100 table main suppress_prefixlength 0
ip link add podman0 address 02:7a:00:00:00:10 type bridge
ip addr add 10.88.0.1/16 dev podman0
ip link set podman0 up
container veth0 02:7a:00:00:00:11
ip link set veth0 master podman0
ip link add podman1 address 02:7a:00:00:00:12 type bridge
ip addr add 10.89.0.1/24 dev podman1
ip -6 addr add fd00:89::1/64 dev podman1 nodad
ip link set podman1 up
container veth1 02:7a:00:00:00:13
ip link set veth1 master podman1
tap vnet7 fe:7a:00:00:00:14
ip link set vnet7 master br0
