"""The server-server API."""
