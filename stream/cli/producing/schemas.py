"""Finding the schema that a command names: a file, one in this folder, or a subject of the registry."""

from collections.abc import Callable
from pathlib import Path

from stream.avro import Schema, parse_schema
from stream.errors import ConfigError, SchemaError

FetchLatest = Callable[[str], str | None]


def find_schema(name: str, fetch_latest: FetchLatest | None) -> Schema:
    """Parse the schema of this name.

    Args:
        name: a path, `<name>.avsc` here or in `schemas/`, or a subject.
        fetch_latest: gives the newest schema of a subject; None where no registry is asked.

    Raises:
        ConfigError: there is none.
        SchemaError: it does not parse.
    """
    candidates = [Path(name), Path(f"{name}.avsc"), Path("schemas") / f"{name}.avsc"]
    found = next((path for path in candidates if path.is_file()), None)
    if found is not None:
        return _parsed(found.read_text(), str(found))
    text = None if fetch_latest is None or name.endswith(".avsc") else fetch_latest(name)
    if text is not None:
        return _parsed(text, f"subject {name}")
    asked = ", and asked the registry for that subject" if fetch_latest and not name.endswith(".avsc") else ""
    raise ConfigError(f"schema {name!r} was not found: looked for {', '.join(map(str, candidates))}{asked}")


def _parsed(text: str, where: str) -> Schema:
    try:
        return parse_schema(text)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error
