"""What is there beside what providers read: memory, neighbours, others' rules, the administrator's connection."""
