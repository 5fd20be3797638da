"""What a replica knows of typing and presence: heard on channels, kept in memory, told by moments."""
