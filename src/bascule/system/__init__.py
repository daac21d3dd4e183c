"""The doors to the outside. Nothing else in Bascule touches the world."""
