"""Random hosts as an installer's files configure them: changed, started again, and changed back."""
