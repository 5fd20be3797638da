"""The plexus command and the all-in-one composition root."""
