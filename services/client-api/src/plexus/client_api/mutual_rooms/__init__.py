"""The rooms that two users share."""
