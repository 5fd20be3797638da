"""Reading a room: events, timeline, state, members."""
