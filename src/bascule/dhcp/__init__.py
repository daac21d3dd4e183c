"""The host's own DHCP clients: found, ended, and begun on another link with the lease that they have."""
