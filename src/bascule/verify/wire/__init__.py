"""The wire beside the guests: the host's own way, MACs that come from outside, where a lost probe ended."""
