"""What the verbs return, as words for people and as JSON for machines."""
