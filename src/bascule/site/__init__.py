"""What the person wrote: YAML text → tree with places → schema → Site; every problem of a file at once."""
