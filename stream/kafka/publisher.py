"""Publishes snapshots from a helper thread, and trims the journal that nobody needs any more (rule 23)."""

import structlog

from stream.engine.protocol import SnapshotPublished
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_store import SnapshotStore
from stream.errors import StreamError
from stream.kafka.input_watch import InputWatch
from stream.kafka.journal_trimmer import JournalTrimmer

_log = structlog.get_logger("stream.kafka")


class Publisher:
    """One snapshot at a time.

    Args:
        store: of snapshots.
        trimmer: of the journal.
        watch: of the inputs: told what the snapshots need of them.
    """

    def __init__(self, store: SnapshotStore, trimmer: JournalTrimmer, watch: InputWatch) -> None:
        self._store, self._trimmer, self._watch = store, trimmer, watch

    def publish(self, checkpoint: Checkpoint) -> SnapshotPublished:
        """Write it; what fails is told, and a later one is tried."""
        try:
            journal_end = self._trimmer.before_publish(checkpoint.partition)
            kept = self._store.publish(checkpoint)
            self._watch.published(checkpoint)
            self._trimmer.published(checkpoint.partition, checkpoint.digest, kept, journal_end, checkpoint.next_offsets)
        except StreamError as error:
            _log.warning("snapshot not published", partition=checkpoint.partition, error=str(error))
            return SnapshotPublished(checkpoint.partition, checkpoint.cycle, str(error))
        return SnapshotPublished(checkpoint.partition, checkpoint.cycle)

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()
        self._trimmer.close()
