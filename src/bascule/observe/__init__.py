"""What is there: kernel, libvirt and configuration files, read into a HostState."""
