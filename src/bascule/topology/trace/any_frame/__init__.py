"""What becomes of frames of which only some things are known: the chains on their ways, and what comes of them."""
