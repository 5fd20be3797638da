"""Pushers: where a user's devices want to hear of notifications."""
