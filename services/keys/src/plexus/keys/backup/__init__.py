"""Backups of room keys."""
