"""The declaration of an app, and its compilation into a plan."""

from stream.app.compile import compile_app, schema_names
from stream.app.declaration import App, Decision, Events, Labels, Monitor
from stream.app.stages import compile_stages

__all__ = ["App", "Decision", "Events", "Labels", "Monitor", "compile_app", "compile_stages", "schema_names"]
