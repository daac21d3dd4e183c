"""Packages are installed in a bare Debian as an administrator installs them."""
