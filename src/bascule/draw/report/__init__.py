"""A rehearsal as one HTML page."""
