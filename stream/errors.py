"""The error taxonomy: an error is classed by what whoever meets it must do."""


class StreamError(Exception):
    """Base of every error this project raises on purpose; its text is complete enough to be shown to a user."""


class ConfigError(StreamError):
    """Refuse to start: a declaration, setting, schema or topic is wrong. The text names the key and the rule."""


class RetriableError(StreamError):
    """Something outside did not answer. Back off and call again, within a deadline."""


class TaskCorrupted(StreamError):
    """The task's state cannot be trusted. Discard it and restore it from a snapshot and the journal."""


class SchemaError(ConfigError):
    """A schema does not parse, or a writer's schema does not resolve to the reader's."""
