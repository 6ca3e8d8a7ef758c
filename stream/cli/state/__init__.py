"""What the tasks of an app hold, and how it is verified, brought up to its journal, or given up."""
