"""Searching the messages of rooms: the index, and who may find what in it."""
