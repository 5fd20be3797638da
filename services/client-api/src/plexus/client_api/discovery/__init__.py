"""What this server is and can: before anybody logs in."""
