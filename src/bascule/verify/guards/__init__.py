"""Whether guards hold: hostile and honest frames, from each guest of a rehearsal or beside one on the live host."""
