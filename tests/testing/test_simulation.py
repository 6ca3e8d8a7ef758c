"""The worker under seeded faults: what must hold, and that the checks see what breaks it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from stream.engine import journal
from stream.engine.journal import Backfill
from stream.engine.protocol import Commit, CommitReturned, CommittedOffset, Event, Fetched, PublishSnapshot
from stream.engine.small_avro import decode_small
from stream.records import TopicPartition
from stream.testing import simulation as schedule
from stream.testing.check import check
from stream.testing.connection import Connection, Job
from stream.testing.simulation import Simulation, SimulationFailed
from tests.engine.build import T0
from tests.testing.build import simulation

SEEDS = 200
CHUNKS = 8


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_learned_twice(chunk: int) -> None:
    """200 seeds of crashes, pauses, zombies, rebalances, lost answers, expired groups: state is the journal's."""
    for seed in range(chunk, SEEDS, CHUNKS):
        check(simulation(seed).run())


def test_one_seed_is_one_run() -> None:
    """Whoever gets a seed sees the same faults, and the same bytes on every topic."""
    first, second = (simulation(9).run() for _ in range(2))

    assert first.happened == second.happened != []
    assert [first.broker.values(topic) for topic in topics(first)] == [
        second.broker.values(topic) for topic in topics(second)
    ]


def topics(run: Simulation) -> list[str]:
    """All topics that were written to."""
    return sorted({source.topic for source in run.broker.logs})


class LosesLabels(Connection):
    """Skips a batch of labels now and then."""

    def poll(self, records: int) -> Iterator[Event]:
        """All but some labels."""
        for event in super().poll(records):
            is_label = isinstance(event, Fetched) and event.batch.topic == "chargebacks"
            if not is_label or self.draw.random() > 0.05:
                yield event


class CommitsOffsetsEarly(Connection):
    """Commits offsets beside the transaction, before it."""

    def finish(self, commit: Commit) -> "Job[CommitReturned]":
        """Offsets first, then the rest."""
        self.broker.offsets |= {
            source: CommittedOffset(at.next_offset, at.metadata) for source, at in commit.offsets.items()
        }
        return (yield from super().finish(commit))


class StampsSnapshotsWrong(Connection):
    """Stamps a snapshot with the cycle that is committed when it is written, not the one it was taken at."""

    def publish(self, instruction: PublishSnapshot) -> "Job[Event]":
        """Stamp, then write."""
        yield
        checkpoint = instruction.checkpoint
        log = self.broker.logs[TopicPartition(self.stage.journal, checkpoint.partition)]
        stamped = checkpoint
        for _, newest in log.committed():  # none while its first marker is still to come
            assert newest.value is not None
            record = journal.decode(newest.value)
            stamped = replace(checkpoint, cycle=record.cycle, digest=record.digest)
        return (yield from super().publish(PublishSnapshot(stamped)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("canary", "sign"),
    [
        (LosesLabels, r"chargebacks\[\d\]: records .* were (out of turn|never handled)"),
        (CommitsOffsetsEarly, "the journal is broken: cycle .* predecessor"),
        (StampsSnapshotsWrong, "the state of partition . is not that of its journal"),
    ],
)
def test_a_planted_bug_is_caught(canary: type[Connection], sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few seeds are enough to see it; the sign says which of the checks did, not that the workers never rest."""
    monkeypatch.setattr(schedule, "_STEPS_TO_REST", 2_000)
    kind = type("Planted", (Simulation,), {"connection": canary})

    assert any(re.search(sign, broken_by(seed, kind)) for seed in range(8))


def broken_by(seed: int, kind: type[Simulation]) -> str:
    """What a check of one run says; "" where the run did not get that far, or all was well."""
    with suppress(SimulationFailed):
        run = simulation(seed, kind).run()
        try:
            check(run)
        except SimulationFailed as failed:
            return str(failed)
    return ""


class Backfilling(Simulation):
    """Workers are told to backfill until every task has begun; those that start later are told nothing."""

    @property
    def backfill(self) -> Backfill | None:  # type: ignore[override]
        """Outputs begin in the middle of what is sent."""
        journals = [self.broker.logs[TopicPartition(self.stages[0].journal, n)] for n in range(self.broker.partitions)]
        has_begun = all(any(True for _ in log.committed()) for log in journals)
        return None if has_begun else Backfill(None, T0 + 100)


@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(1, 4))])
def test_a_backfill_learns_from_the_past_and_tells_nothing_of_it(chunk: int) -> None:
    """16 seeds with every fault: outputs are those of records from the time on, state is the journal's."""
    for seed in range(chunk, 16, 4):
        run = simulation(seed, Backfilling).run()
        check(run)
        told = [decode_small("prediction", value[5:]) for value in run.broker.values("app.predictions") if value]
        stored = {source: dict(log.committed()) for source, log in run.broker.logs.items()}
        events = [stored[TopicPartition("payments", each["partition"])][each["offset"]] for each in told]
        assert min(event.timestamp_ms for event in events) == T0 + 100


def test_a_past_that_is_told_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that suppress nothing write outputs that the journal does not allow."""
    monkeypatch.setattr("stream.engine.slot.past_or_not", lambda batch, backfill: (batch, False))
    with pytest.raises(SimulationFailed, match="outputs are there that no journal gives"):
        check(simulation(1, Backfilling).run())
