"""`stream dead-letters`: rejected records, and sending them back after a fix."""
