"""What of a journal is replayed at once (rule 21)."""

from dataclasses import replace

import numpy as np
import pytest

from stream.engine.journal import JournalRecord, LostRows, Range, SchemaAnswer
from stream.engine.restore import Replay
from stream.errors import TaskCorrupted

ANSWER = SchemaAnswer(0, "events", 7, '"string"', "", "")


def ranges(*items: tuple[str, int, int]) -> tuple[Range, ...]:
    """Ranges by topic, first and last offset, each a ms later than the one before."""
    return tuple(
        Range(topic, 0, first, last, last - first + 1, now_ms) for now_ms, (topic, first, last) in enumerate(items)
    )


def cycle(number: int, *items: tuple[str, int, int], answers: tuple[SchemaAnswer, ...] = ()) -> JournalRecord:
    """A journal record."""
    return JournalRecord(number, "", "plan", 1, ranges(*items), answers)


def test_ranges_of_many_cycles_are_replayed_at_once() -> None:
    """Up to as many as are wanted; the last cycle that they end is left to `finish_cycle`."""
    replay = Replay(
        [cycle(1, ("events", 0, 1), ("events", 2, 4)), cycle(2, ("events", 5, 6)), cycle(3, ("events", 7, 9))]
    )
    assert replay.wanted(at_most=100) == 10
    assert replay.wanted(at_most=6) == 6
    assert [record.cycle for record in replay.take(np.arange(6))] == [1]
    assert (replay.done, replay.total) == (6, 10)
    assert replay.wanted(at_most=100) == 4
    assert [record.cycle for record in replay.take(np.arange(6, 10))] == [2]
    assert replay.range is None
    assert replay.finish_cycle().cycle == 3
    assert replay.record is None


def test_another_partition_s_records_come_in_between() -> None:
    """Labels were learned from after two events: they are again."""
    replay = Replay([cycle(1, ("events", 0, 1), ("labels", 0, 0), ("events", 2, 3))])
    assert replay.wanted(at_most=100) == 2
    replay.take(np.arange(2))
    assert replay.range is not None
    assert replay.range.topic == "labels"


@pytest.mark.parametrize(("answers", "wanted"), [((), 4), ((ANSWER,), 2)])
def test_an_answer_about_a_schema_is_repeated_where_it_came(answers: tuple[SchemaAnswer, ...], wanted: int) -> None:
    """At the beginning of the next cycle: what lies behind it cannot be read before."""
    replay = Replay([cycle(1, ("events", 0, 1)), cycle(2, ("events", 2, 3), answers=answers)])
    assert replay.wanted(at_most=100) == wanted


def test_an_answer_at_the_end_of_a_cycle_parts_it_from_the_next() -> None:
    """It came behind the cycle's last range."""
    late = SchemaAnswer(1, "events", 7, '"string"', "", "")
    replay = Replay([cycle(1, ("events", 0, 1), answers=(late,)), cycle(2, ("events", 2, 3))])
    assert replay.wanted(at_most=100) == 2


def test_records_that_are_not_those_of_the_journal_are_noticed_in_whichever_range_they_are() -> None:
    """Offset 3 ends the second range of the batch; the topic has 4 in its place."""
    replay = Replay([cycle(1, ("events", 0, 1), ("events", 2, 3))])
    with pytest.raises(TaskCorrupted, match=r"records 2 to 3 \(2\), the topic delivered 2 to 4"):
        replay.take(np.array([0, 1, 2, 4]))


def test_rows_that_were_gone_part_ranges_too() -> None:
    """Labels behind that answer are replayed once it was repeated (rule 36)."""
    records = [cycle(1, ("labels", 0, 1), ("labels", 2, 3)), cycle(2, ("labels", 4, 5))]
    lost = LostRows(at=1, name=40)
    assert Replay([replace(records[0], lost_rows=(lost,)), records[1]]).wanted(at_most=100) == 2
    assert Replay(records).wanted(at_most=100) == 6
