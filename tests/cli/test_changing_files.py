"""A file that changes while it is loaded, in the scripted topic of the other tests of loads."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.errors import ConfigError
from tests.cli import test_backfill_loading
from tests.cli.test_backfill_loading import Step, Topic, cards, load

topic, file = test_backfill_loading.topic, test_backfill_loading.file


def doing(something: Callable[[], object]) -> Step:
    """Something that happens before a chunk is committed."""

    def step(_: Topic) -> None:
        something()

    return step


def test_a_file_that_changes_while_it_is_loaded_ends_the_load_before_the_next_chunk(topic: Topic, file: Path) -> None:
    """Nothing of what it is now is sent, and the text says what is there of what it was; put back, it goes on."""
    before = file.read_text()
    topic.steps = [lambda _: None, doing(lambda: file.write_text(before.replace("c6", "d6")))]
    with pytest.raises(
        ConfigError, match=r"changed while it was loaded. Its first 4 rows, .* are in payments. Put the"
    ):
        load(topic, file)
    assert topic.cards == cards(0, 4)

    file.write_text(before)
    load(topic, file)
    assert topic.cards == cards()


def test_a_file_that_changes_before_anything_is_sent_binds_nobody(topic: Topic, file: Path) -> None:
    """Somebody still writes it: it is loaded once it is whole."""
    whole = file.read_text() + "c7,2025-01-01T00:00:00.007Z\n"

    def write_on(looked: int) -> None:
        if looked == 1:
            file.write_text(whole)

    topic.on_look = write_on
    with pytest.raises(ConfigError, match="changed while it was read; nothing of it was sent"):
        load(topic, file)
    assert topic.found is None

    load(topic, file)
    assert topic.cards == cards(0, 8)


def test_a_file_that_goes_while_it_is_loaded_ends_the_load(topic: Topic, file: Path) -> None:
    """A file that is gone is another one."""
    topic.steps = [doing(file.unlink)]
    with pytest.raises(ConfigError, match="changed while it was loaded"):
        load(topic, file)


def test_a_file_that_is_touched_is_the_same_file(topic: Topic, file: Path) -> None:
    """Another time of change, and a copy in its place: the bytes decide."""
    copy = file.with_name("copy.csv")
    copy.write_bytes(file.read_bytes())
    topic.steps = [doing(lambda: os.utime(file, (1, 1))), doing(lambda: copy.replace(file))]
    load(topic, file)
    assert topic.cards == cards()
