"""Exceptions that may only shrink: what `allowed.toml` names may not grow, and is lowered when it could be."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ALLOWED = tomllib.loads(Path(__file__).with_name("allowed.toml").read_text())


def complaints(
    found: Iterable[tuple[str, int]], allowed: Mapping[str, int], limit: int, unit: str, remedy: str
) -> list[str]:
    """What is over the limit or its own exception, and exceptions that could be lowered.

    Args:
        found: names and how much of the unit each has.
        allowed: names with an exception, and how much that is.
        limit: for all others.
        unit: what is counted.
        remedy: what to do about too much of it.
    """
    counts = dict(found)
    too_much = [
        f"{name} has {count} {unit}, at most {allowed.get(name, limit)}: {remedy}"
        for name, count in counts.items()
        if count > allowed.get(name, limit)
    ]
    too_generous = [
        f"{name} may have {most} {unit} and has {counts.get(name, f'at most {limit}')}: lower or remove its exception"
        for name, most in allowed.items()
        if max(counts.get(name, 0), limit) < most
    ]
    return too_much + too_generous
