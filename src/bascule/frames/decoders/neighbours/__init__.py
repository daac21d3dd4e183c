"""Announcements with which devices name themselves and their port."""
