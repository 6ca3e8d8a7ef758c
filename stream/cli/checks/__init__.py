"""`stream check`: everything that is wrong with an app, before anything runs."""
