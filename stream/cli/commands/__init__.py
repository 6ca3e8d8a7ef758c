"""The commands of `stream`, one module each. A module's `entry` is a function (one command) or a Typer (a group)."""
