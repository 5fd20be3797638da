"""Notices of the server to a user, in a room of their own that the server makes: one a user."""
