"""Who runs the guests: libvirt or QEMU alone, behind one interface."""
