"""The demo's apps: examples to read, and to copy from."""
