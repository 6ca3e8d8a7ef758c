"""Errors for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches

from stream.errors import ConfigError


def one_of(name: str, known: Iterable[str], where: str, what: str) -> str:
    """`name`, if it is known; otherwise a ConfigError that says where it stands and which name is near."""
    names = list(known)
    if name in names:
        return name
    hint = did_you_mean(name, names) or f"; there are {', '.join(names)}"
    raise ConfigError(f"{where}: there is no {what} {name!r}{hint}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What goes behind an error about `name`: which of those known is near; "" where none is."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
