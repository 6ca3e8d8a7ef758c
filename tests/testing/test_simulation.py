"""The worker under seeded faults: what must hold, and that the checks see what breaks it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from stream.engine import journal
from stream.engine.protocol import Commit, CommitReturned, CommittedOffset, Event, Fetched, PublishSnapshot
from stream.records import TopicPartition
from stream.testing.check import check
from stream.testing.connection import Connection, Job
from stream.testing.simulation import Simulation, SimulationFailed
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
        log = self.broker.logs[TopicPartition(self.broker.journal, checkpoint.partition)]
        stamped = checkpoint
        for _, newest in log.committed():  # none while its first marker is still to come
            assert newest.value is not None
            record = journal.decode(newest.value)
            stamped = replace(checkpoint, cycle=record.cycle, digest=record.digest)
        return (yield from super().publish(PublishSnapshot(stamped)))


@pytest.mark.parametrize("canary", [LosesLabels, CommitsOffsetsEarly, StampsSnapshotsWrong])
def test_a_planted_bug_is_caught(canary: type[Connection]) -> None:
    """A dozen seeds are enough to see it."""
    kind = type("Planted", (Simulation,), {"connection": canary})

    with pytest.raises(SimulationFailed):
        for seed in range(20):
            check(simulation(seed, kind).run())
