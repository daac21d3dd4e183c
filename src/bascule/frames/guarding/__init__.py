"""Frames that a guard must stop and frames that it must let through, each as one row; pure."""
