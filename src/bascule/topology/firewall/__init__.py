"""Other programs' firewall rules on a host, and what they do to a frame of which only some things are known. Pure."""
