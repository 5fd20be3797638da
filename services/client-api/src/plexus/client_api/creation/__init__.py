"""Making a room."""
