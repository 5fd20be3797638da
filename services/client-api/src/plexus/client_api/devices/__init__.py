"""A user's devices."""
