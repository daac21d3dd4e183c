"""What is to be seen: elements in layers, and the wires between them, from a site and what was observed."""
