"""Who runs the guests, behind one interface. One more is a file here and an entry in RUNTIMES."""

# Each is a file here with ``answering``; the first that answers has the guests
RUNTIMES = ("libvirt", "qemu")
