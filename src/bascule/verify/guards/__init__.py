"""Whether guards hold: hostile and legitimate frames, from each guest of a rehearsal or beside one on the live host."""
