"""Files, locks and mounts."""
