"""What a task needs before it can go on: a writer's schema from the registry, feature rows from their topic."""

from stream.config import KafkaSettings
from stream.engine.protocol import FetchRows, SchemaFetched, SchemaRefused
from stream.kafka.mailbox import Mailbox
from stream.kafka.row_fetcher import RowFetcher
from stream.kafka.schema_fetcher import SchemaFetcher


class Needs:
    """Asks in helper threads, which are made when they are wanted first.

    Args:
        settings: see KafkaSettings.
        features: topic of the app's feature rows.
        mailbox: takes the answers.
    """

    def __init__(self, settings: KafkaSettings, features: str, mailbox: Mailbox) -> None:
        self._settings = settings
        self._features = features
        self._mailbox = mailbox
        self._schemas: SchemaFetcher | None = None
        self._rows: RowFetcher | None = None

    def fetch_schema(self, schema_id: int) -> None:
        """Ask for a schema."""
        if self._schemas is None:
            from stream.kafka.registry import Registry  # a fifth of a second, for apps with a registry alone

            self._schemas = SchemaFetcher(Registry(self._settings), self._mailbox)
        self._schemas.fetch(schema_id)

    def fetch_rows(self, wanted: FetchRows) -> None:
        """Ask for feature rows."""
        if self._rows is None:
            self._rows = RowFetcher(self._settings, self._features, self._mailbox)
        self._rows.fetch(wanted)

    def answered(self, answer: SchemaFetched | SchemaRefused) -> None:
        """An answer was delivered."""
        if self._schemas is not None:
            self._schemas.answered(answer.schema_id)

    def close(self) -> None:
        """Stop asking."""
        for fetcher in (self._schemas, self._rows):
            if fetcher is not None:
                fetcher.close()
