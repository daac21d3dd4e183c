"""Show it: layout (pure), then one file per format."""
