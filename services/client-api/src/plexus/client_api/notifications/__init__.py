"""The list of what a user has been notified of."""
