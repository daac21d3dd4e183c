"""Virtual servers: one file per driver behind one protocol."""
