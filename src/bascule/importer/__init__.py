"""From what is there to a site file whose plan is empty."""
