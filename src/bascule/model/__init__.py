"""The normal form, pure: what the person meant (site) and what a host's network is (state)."""
