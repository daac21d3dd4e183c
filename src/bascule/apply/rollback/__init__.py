"""The way back of a change: the three-way merge, played in as many looks as it takes."""
