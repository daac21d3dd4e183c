"""What somebody should know before a plan is made: who else names a link, and where subnets lead elsewhere."""
