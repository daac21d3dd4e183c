"""What others' firewall rules do to the frames of guests."""
