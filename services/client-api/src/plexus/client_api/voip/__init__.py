"""What a call needs of the server: TURN credentials, and where its transports are."""
