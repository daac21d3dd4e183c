"""A machine with a kernel of its own under QEMU, for what the kernel under the tests may lack."""
