sysctl -q -w net/ipv6/conf/g1.0/accept_ra=0
