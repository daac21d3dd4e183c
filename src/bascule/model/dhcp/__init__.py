"""DHCP: the clients at work on a host's links, and what servers offer them."""
