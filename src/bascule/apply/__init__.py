"""Do it: run a plan's commands and be able to take them back."""
