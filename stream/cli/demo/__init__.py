"""`stream demo`: apps, streams of events for them, and the live view."""
