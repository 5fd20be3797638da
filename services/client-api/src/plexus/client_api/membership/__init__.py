"""Who is in a room: join, invite, leave, kick, ban, knock, forget."""
