"""Where everything stands, in the units of a medium: pixels or character cells. Pure and deterministic."""
