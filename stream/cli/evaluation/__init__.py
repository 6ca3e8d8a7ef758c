"""`stream eval`: the engine over a file, and what its predictions were worth."""
