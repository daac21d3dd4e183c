"""What is said of all pairs at once, of one host or of several."""
