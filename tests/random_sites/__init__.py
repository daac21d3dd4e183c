"""Random site files: what the model says of each is asked in a rehearsal with frames, and both must agree."""
