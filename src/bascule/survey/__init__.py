"""Which wire is this? Frames are decoded, counted as evidence, and judged; run.py is the way through all of it."""
