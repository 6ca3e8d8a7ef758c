"""Where the schemas of a topic's records come from: the registry, what ships, and the files of this folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.avro import Schema, parse_schema
from stream.cli.connection import registry_schemas
from stream.cli.tailing.decoding import ValueReader
from stream.config import KafkaSettings
from stream.errors import RetriableError, SchemaError
from stream.resources import shipped


@contextmanager
def value_reader(settings: KafkaSettings, folder: Path) -> Iterator[ValueReader]:
    """A context that reads values with the registry of the settings, the project's schemas and those in a folder."""
    schemas = [*_schemas(shipped("schemas")), *_schemas(folder), *_schemas(folder / "schemas")]
    with registry_schemas(settings) as fetch:

        def fetch_or_explain(schema_id: int) -> str | None:
            try:
                return fetch(schema_id)
            except RetriableError as error:
                raise RetriableError(
                    f'{error}; check registry_url, or leave it out (STREAM_REGISTRY_URL="") to see the bytes'
                ) from error

        yield ValueReader(fetch_or_explain, schemas)


def _schemas(folder: Path) -> list[Schema]:
    """Those that parse; the others are of no use here."""
    found = []
    for path in sorted([*folder.glob("*.avsc"), *folder.glob("*/v*.avsc")]):
        try:
            found.append(parse_schema(path.read_text()))
        except (SchemaError, UnicodeDecodeError):
            continue
    return found
