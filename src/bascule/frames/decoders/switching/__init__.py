"""What switches say to each other: spanning trees, trunks, aggregated links, port access."""
