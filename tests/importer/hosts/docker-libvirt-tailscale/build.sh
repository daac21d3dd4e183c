# A workstation that does everything: DHCP on its one NIC, Docker with a network of its own, libvirt's NAT, Tailscale.
nic enp3s0 d8:bb:c1:63:00:01
ip addr add 192.168.8.57/24 brd 192.168.8.255 dev enp3s0 valid_lft 40000 preferred_lft 40000 noprefixroute
ip route add 192.168.8.0/24 dev enp3s0 proto kernel src 192.168.8.57 metric 100
ip route add default via 192.168.8.1 dev enp3s0 proto dhcp src 192.168.8.57 metric 100
ip addr add 2001:db8:8::57/64 dev enp3s0 valid_lft 86000 preferred_lft 14000 nodad
ip -6 route add default via fe80::8:1 dev enp3s0 proto ra metric 100
ip link add docker0 address 02:42:63:00:00:01 type bridge
ip addr add 172.17.0.1/16 brd 172.17.255.255 dev docker0
ip link add br-1f2e3d4c5b6a address 02:42:63:00:00:02 type bridge
ip addr add 172.18.0.1/16 brd 172.18.255.255 dev br-1f2e3d4c5b6a
container veth1a2b3c4 02:63:00:00:00:03
ip link set veth1a2b3c4 master br-1f2e3d4c5b6a
ip link add virbr0 address 52:54:00:63:00:01 type bridge stp_state 1 forward_delay 200
ip addr add 192.168.122.1/24 brd 192.168.122.255 dev virbr0
tap vnet0 fe:54:00:63:00:02
ip link set vnet0 master virbr0
for each in docker0 br-1f2e3d4c5b6a virbr0; do ip link set $each up; done
ip tuntap add dev tailscale0 mode tun
ip link set tailscale0 mtu 1280 up
ip addr add 100.101.102.103/32 dev tailscale0
ip -6 addr add fd7a:115c:a1e0::6301:6667/128 dev tailscale0
ip route add 100.100.100.100 dev tailscale0 table 52
ip route add 100.64.7.9 dev tailscale0 table 52
ip -6 route add fd7a:115c:a1e0::53 dev tailscale0 table 52
for family in -4 -6; do
    ip $family rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
    ip $family rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
    ip $family rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
    ip $family rule add pref 5270 lookup 52
done
