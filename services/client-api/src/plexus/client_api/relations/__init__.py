"""Events that relate to others, and the threads of a room."""
