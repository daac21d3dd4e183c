"""Files of others in the way of ours: which are moved aside, what of them stays, what nobody takes over."""
