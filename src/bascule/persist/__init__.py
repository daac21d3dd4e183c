"""Keep it: a host's network as the files of its configuration system, and back. One folder a dialect."""
