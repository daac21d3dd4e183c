"""The kernel's network: links, namespaces, parameters, sockets."""
