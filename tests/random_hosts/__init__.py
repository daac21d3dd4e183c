"""Random hosts that are changed and changed back, with what others did meanwhile: nothing else may differ after."""
