# What the builders of whole hosts use. A NIC is one end of a cable into another namespace ($WIRE), so is a container's.
set -e
nic() { ip link add "$1" address "$2" mtu "${3:-1500}" type veth peer name "$1" netns "$WIRE"; ip link set "$1" up; }
container() { nic "$1" "$2"; }
tap() { ip tuntap add dev "$1" mode tap; ip link set "$1" address "$2" up; }
