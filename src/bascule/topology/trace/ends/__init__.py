"""Who stands on the wires of a host, who has which address, and who hands packets on. Pure."""
