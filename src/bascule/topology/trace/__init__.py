"""The way of a packet: through the graph of what a file declares, and through a host as it is, rule by rule. Pure."""
