"""Rules of every firewall on a host, in the one form in which a packet is held against them; pure."""
