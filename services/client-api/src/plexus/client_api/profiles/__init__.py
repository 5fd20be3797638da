"""Profiles, and their way into the rooms."""
