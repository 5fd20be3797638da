"""Searching for users."""
