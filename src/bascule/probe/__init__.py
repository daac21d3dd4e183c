"""Ask with real frames, from inside any namespace."""
