"""Virtual servers: who runs them (runtimes/), who is who, and what their memory is."""
