"""Keys of users' devices."""
