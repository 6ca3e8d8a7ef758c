"""The chain of the journal: each record is intact, and follows the one before it."""

from dataclasses import replace

import pytest

from stream.engine.journal import Backfill, JournalRecord, Range, SchemaAnswer, check_chain, decode, encode
from stream.errors import TaskCorrupted


def chain(cycles: int) -> list[JournalRecord]:
    """So many cycles of one record each."""
    records: list[JournalRecord] = []
    for cycle in range(1, cycles + 1):
        previous = records[-1].digest if records else ""
        taken = Range("events", 0, cycle, cycle, 1, 1000 + cycle)
        records.append(JournalRecord(cycle, previous, "plan", 1, (taken,), ()).sealed())
    return records


def test_a_digest_covers_the_record_before() -> None:
    """Two records that differ in nothing else have different digests."""
    record = chain(1)[0]
    assert replace(record, previous="another").sealed().digest != record.digest


def test_digests_are_those_of_earlier_releases() -> None:
    """Journals outlive the release that wrote them: the same record has the same digest for ever."""
    taken = Range("events", 1, 10, 19, 9, 1_700_000_000_000)
    accepted = SchemaAnswer(0, "events", 4, '{"type": "é"}', "", "")
    record = JournalRecord(7, "00ff", "plan", 3, (taken,), (accepted,), backfill=Backfill(None, 5), partitions=4)

    sealed = record.sealed()

    assert sealed.digest == "a1c07129c2c15fa9b7ba25231b6f5fd8"
    assert decode(encode(sealed)) == sealed


def test_a_whole_chain_is_taken() -> None:
    """From its first record, or from any other on."""
    check_chain(chain(4))
    check_chain(chain(4)[2:])


@pytest.mark.parametrize("broken", ["a record is missing", "a record is changed", "a record is of another chain"])
def test_a_broken_chain_is_corrupt(broken: str) -> None:
    """Wherever it is broken, the cycle is named."""
    records = chain(4)
    match broken:
        case "a record is missing":
            del records[2]
        case "a record is changed":
            records[2] = replace(records[2], epoch=2)
        case _:
            records[3] = replace(records[3], previous="another").sealed()

    with pytest.raises(TaskCorrupted, match=r"cycle [34]"):
        check_chain(records)
