"""Operators' names and tokens."""

import stat
from pathlib import Path

import pytest

from stream.control.tokens import Tokens, load_or_create, parse_tokens
from stream.errors import ConfigError


def test_a_token_says_whose_it_is() -> None:
    """A name for each known token, None for any other."""
    tokens = Tokens({"alice": "alice-token-0123456789", "bob": "bob-token-0123456789"})

    assert tokens.name_of("bob-token-0123456789") == "bob"
    assert tokens.name_of("bob-token-012345678") is None
    assert tokens.name_of("bob") is None
    assert tokens.name_of("") is None
    assert tokens.name_of("töken") is None


def test_tokens_are_read_from_lines_and_from_a_variable() -> None:
    """NAME TOKEN a line, or NAME=TOKEN with commas; a token may end in the = of base64."""
    lines = parse_tokens("# operators\nalice 0123456789abcdef==\n\nbob\tfedcba9876543210\n", "the file")
    variable = parse_tokens("alice=0123456789abcdef==,bob=fedcba9876543210", "STREAM_CONTROL_TOKENS")

    assert lines == variable == Tokens({"alice": "0123456789abcdef==", "bob": "fedcba9876543210"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file holds no token"),
        ("alice", "entry 1: the token of alice has fewer than 16 characters"),
        ("alice 0123456789abcdef\nalice 0123456789abcdeF", "entry 2: the name or token of alice is there twice"),
        ("a lice! 0123456789abcdef", "entry 1: the token of a has a blank in it"),
        ("al!ce 0123456789abcdef", "entry 1: a name has 1 to 64 letters"),
    ],
)
def test_a_wrong_entry_is_named_and_its_token_is_not(text: str, sentence: str) -> None:
    """The error says where and what, and could be pasted into a ticket."""
    with pytest.raises(ConfigError) as error:
        parse_tokens(text, "the file")

    assert sentence in str(error.value)
    assert "0123456789abcd" not in str(error.value)


def test_the_first_start_makes_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """Mode 0600 from its first moment, a long token, and the same one at the next start."""
    path = tmp_path / "state" / "control-tokens"

    first = load_or_create(path, "alice")
    second = load_or_create(path, "somebody-else")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(first.by_name) == ["alice"]
    assert len(first.by_name["alice"]) >= 40
    assert second == first
    assert [entry.name for entry in path.parent.iterdir()] == ["control-tokens"]


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Whoever could read it may have it: make new tokens."""
    path = tmp_path / "control-tokens"
    load_or_create(path, "alice")
    path.chmod(0o640)

    with pytest.raises(ConfigError, match=r"can be read by others \(mode 640\): run chmod 600"):
        load_or_create(path, "alice")
