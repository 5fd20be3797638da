"""Reports of events, rooms and users: kept in a table of this service, read by ``plexus report``."""
