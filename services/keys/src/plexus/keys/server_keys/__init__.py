"""The server's signing keys, published."""
