"""Typing notifications."""
