"""Replacing a room by one of another version."""
