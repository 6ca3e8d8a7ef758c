"""`stream produce`: rows of a file become records of a topic."""
