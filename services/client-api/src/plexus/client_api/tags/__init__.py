"""Tags: what a user calls a room, for themselves."""
