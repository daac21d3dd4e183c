"""Is it so? Checks of a host and verdicts on expectations, each with a witness."""
