"""Finding the schema that a command names: a file, one in this folder, or a subject of the registry."""

from collections.abc import Callable, Iterable
from pathlib import Path

from stream.app.suggest import did_you_mean
from stream.avro import Schema, parse_schema
from stream.errors import ConfigError, SchemaError

FetchLatest = Callable[[str], str | None]


def find_schema(name: str, fetch_latest: FetchLatest | None, subjects: Callable[[], Iterable[str]] = tuple) -> Schema:
    """Parse the schema of this name.

    Args:
        name: a path, `<name>.avsc` here or in `schemas/`, or a subject.
        fetch_latest: gives the newest schema of a subject; None where no registry is asked.
        subjects: gives the names of all that the registry has, to tell which is near.

    Raises:
        ConfigError: there is none; the text says which name is near.
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
    near = did_you_mean(name, [*_names_here(name), *(subjects() if asked else ())])
    raise ConfigError(f"schema {name!r} was not found: looked for {', '.join(map(str, candidates))}{asked}{near}")


def _names_here(name: str) -> list[str]:
    """Of the schemas in the folders that are looked into, written as `name` is: with its folder, with .avsc or not."""
    folders = dict.fromkeys((Path(name).parent, Path(), Path("schemas")))
    files = [path for folder in folders for path in sorted(folder.glob("*.avsc"))]
    return [str(path) if name.endswith(".avsc") else path.stem for path in files]


def _parsed(text: str, where: str) -> Schema:
    try:
        return parse_schema(text)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error
