"""What docs/guarantees.md says of code and tests is so."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
# "rule 9", "rules 29 to 33", "rules 4, 5 and 21".
RULES = re.compile(r"\brules? ((?:\d+(?:, | to | and |, and )?)+)", re.IGNORECASE)


def rules_in(text: str) -> set[int]:
    """The numbers of the rules that a text names."""
    found: set[int] = set()
    for numbers in RULES.findall(text):
        found |= set(map(int, re.findall(r"\d+", numbers)))
        for first, last in re.findall(r"(\d+) to (\d+)", numbers):
            found |= set(range(int(first), int(last)))
    return found


def test_every_test_that_is_named_exists() -> None:
    """A rule is not shown by a test that is gone."""
    defined = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", GUARANTEES))
    assert sorted(named - defined) == []
    assert len(named) > 30


def test_every_rule_that_the_code_names_is_there() -> None:
    """Whoever reads `rule 9` in the code or in an error finds it."""
    kept, _, not_built = GUARANTEES.partition("## What is not built")
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", kept, re.MULTILINE)} | rules_in(not_built)
    named = {file.name: rules_in(file.read_text()) for file in (ROOT / "stream").rglob("*.py")}
    assert {name: sorted(rules - listed) for name, rules in named.items() if rules - listed} == {}
    assert listed == set(range(1, 37))


def test_numbers_of_rules_are_read() -> None:
    """One, several, and a span."""
    assert rules_in("(rule 9), rules 6 and 23; Rules 4, 5, 21") == {4, 5, 6, 9, 21, 23}
    assert rules_in("rules 14 and 29 to 33") == {14, 29, 30, 31, 32, 33}
