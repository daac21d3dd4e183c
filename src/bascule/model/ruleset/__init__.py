"""Rules of nftables as values: what they are, as nft's text, and read from nft's JSON; pure."""
