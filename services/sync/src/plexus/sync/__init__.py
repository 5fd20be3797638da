"""Sync: the tail of every lane, and long polls."""
