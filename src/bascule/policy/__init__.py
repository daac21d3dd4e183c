"""From wishes to rules, pure: what a site file asks of nftables, as tables."""
