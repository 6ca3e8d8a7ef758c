"""`stream run --from FILE`: the rows of a file into the event topic, before the workers begin there."""
