"""Account data, global and per room."""
