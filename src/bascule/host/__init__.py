"""Where it runs: this machine or a network namespace of it, and which host of a site file that is."""
