"""Rules of iptables and ebtables, as their own programs print them. Pure."""
