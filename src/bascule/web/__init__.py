"""The live picture in the browser. It only reads: the host is looked at, and asked with probes, never changed."""
