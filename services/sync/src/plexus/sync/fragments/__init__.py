"""Rooms' sections as bytes: made once, shared by the members."""
