"""Guards of guest NICs at layer 2: who is guarded, by which rules, and what each of them stops; pure."""
