"""Which wire is this? Frames are decoded, counted as evidence, and judged; take.py is the way through all of it."""
