"""Snapshots in a compacted topic (rule 23)."""

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream.config import InputTopics, KafkaSettings
from stream.engine.snapshot_format import CHUNK_BYTES, Manifest, decode_manifest, encode_manifest
from stream.engine.snapshot_store import StoreMemory
from stream.errors import RetriableError
from stream.kafka import snapshots
from stream.kafka.reader import Reader
from stream.kafka.snapshots import TopicSnapshotStore
from stream.records import TopicPartition
from tests.checkpoints import assert_same, checkpoint

WANTED = [(cycle, f"digest{cycle}") for cycle in range(1, 10)]


@pytest.fixture
def store(settings: KafkaSettings, inputs: InputTopics) -> Iterator[TopicSnapshotStore]:
    """A store in the test's own topic."""
    store = TopicSnapshotStore(settings, inputs.snapshots)
    yield store
    store.close()


def records(settings: KafkaSettings, inputs: InputTopics) -> list[tuple[bytes, bytes | None]]:
    """Key and value of everything that was written."""
    found = []
    with Reader(settings) as reader:
        for batch in reader.read_to_end(TopicPartition(inputs.snapshots, 0), 0):
            data = batch.data.tobytes()
            for key, value in zip(batch.keys.tolist(), batch.values.tolist(), strict=True):
                found.append((data[key[0] : key[1]], None if value[0] < 0 else data[value[0] : value[1]]))
    return found


def test_a_snapshot_larger_than_a_record_comes_back_bit_for_bit(store: TopicSnapshotStore) -> None:
    """Chunks are put together again in their order."""
    random = np.random.default_rng(1)
    given = checkpoint(3, {"table": random.random((700, 300)), "flags": np.array([True, False]), "empty": np.zeros(0)})
    store.publish(given)
    assert_same(store.load(0, WANTED).checkpoint, given)


def test_the_newest_wanted_snapshot_is_loaded(store: TopicSnapshotStore) -> None:
    """One whose cycle is not in the committed journal is as if it were not there (rule 21)."""
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(2))
    assert_same(store.load(0, [(1, "digest1")]).checkpoint, checkpoint(1))
    assert store.load(0, [(2, "another branch")]).checkpoint is None


def test_rule_23_unchanged_chunks_are_not_written_again_and_forgotten_ones_get_a_tombstone(
    store: TopicSnapshotStore, settings: KafkaSettings, inputs: InputTopics
) -> None:
    """Two manifests are kept; what only the third-newest used is given up."""
    same = np.random.default_rng(1).random(CHUNK_BYTES // 8)
    for cycle in (1, 2, 3):
        store.publish(checkpoint(cycle, {"same": same, "weights": np.full(8, float(cycle))}))
    written = records(settings, inputs)
    values = [value for _, value in written if value is not None]
    assert sum(same.tobytes() in value for value in values) == 1
    assert b"".join(key[-1:] for key, _ in written if key.startswith(b"manifest")) == b"aba"
    gone = [key for key, value in written if value is None]
    assert gone == [key for key, value in written if value is not None and np.full(8, 1.0).tobytes() in value]


def test_a_chunk_that_was_gone_is_written_anew(settings: KafkaSettings, inputs: InputTopics) -> None:
    """Both snapshots name it: none can be loaded; the next one, from the same state, can."""
    memory = StoreMemory()
    stores = [TopicSnapshotStore(settings, inputs.snapshots, memory=memory) for _ in range(2)]
    arrays = {"table": np.random.default_rng(1).random(CHUNK_BYTES // 8)}
    for cycle in (1, 2):
        stores[0].publish(checkpoint(cycle, arrays))
    manifests = [value for key, value in records(settings, inputs) if key == b"manifest-b"]
    assert manifests[0] is not None
    manifest = decode_manifest(manifests[0])
    moved = replace(manifest, chunks=(manifest.chunks[0], replace(manifest.chunks[1], place=0)))
    stores[0]._write(TopicPartition(inputs.snapshots, 0), [(b"manifest-b", encode_manifest(moved))])
    found = stores[1].load(0, [(2, "digest2")])
    assert (found.checkpoint, len(found.damaged)) == (None, 1)
    stores[0].publish(checkpoint(3, arrays))
    assert_same(stores[1].load(0, WANTED).checkpoint, checkpoint(3, arrays))
    assert memory.unreadable == set()
    for each in stores:
        each.close()


def test_rule_23_chunks_whose_manifest_never_came_are_forgotten(
    store: TopicSnapshotStore, settings: KafkaSettings, inputs: InputTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before any snapshot, and after some: what is left gets tombstones once a newer manifest stands behind."""

    def killed(_: Manifest) -> bytes:
        raise SystemExit

    for cycles in ((1, 2, 3), (4, 5)):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(snapshots, "encode_manifest", killed)
            store.publish(checkpoint(9, {"table": np.arange(1000) * cycles[0]}))
        for cycle in cycles:
            store.publish(checkpoint(cycle))
        assert_same(store.load(0, WANTED).checkpoint, checkpoint(cycles[-1]))
        assert_same(store.load(0, [(cycles[-2], f"digest{cycles[-2]}")]).checkpoint, checkpoint(cycles[-2]))

    left = dict(records(settings, inputs))
    referred = {
        chunk.key.encode()
        for key, value in left.items()
        if key.startswith(b"manifest") and value is not None
        for chunk in decode_manifest(value).chunks
    }
    assert {key for key, value in left.items() if value and not key.startswith(b"manifest")} == referred


def test_rule_23_a_damaged_snapshot_is_reported_and_the_older_one_used(
    store: TopicSnapshotStore,
    inputs: InputTopics,
    settings: KafkaSettings,
    logged: list[MutableMapping[str, Any]],
) -> None:
    """A manifest that cannot be read is left out with the reason, and the next snapshot replaces it."""
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    with_damage = [value for key, value in records(settings, inputs) if key == b"manifest-b"]
    assert with_damage[0] is not None
    store._write(TopicPartition(inputs.snapshots, 0), [(b"manifest-b", with_damage[0][:-5] + b"xxxxx")])
    found = store.load(0, WANTED)
    assert_same(found.checkpoint, checkpoint(1))
    assert "checksum does not match" in found.damaged[0]
    assert [(line["event"], line["topic"]) for line in logged] == [("a damaged snapshot is left out", inputs.snapshots)]
    assert "checksum does not match" in logged[0]["reason"]
    store.publish(checkpoint(3))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))
    assert_same(store.load(0, [(1, "digest1")]).checkpoint, checkpoint(1))


def test_manifests_far_from_the_end_are_found(
    store: TopicSnapshotStore, inputs: InputTopics, settings: KafkaSettings
) -> None:
    """A crash between chunks and manifest leaves many records behind the last manifest."""
    store.publish(checkpoint(1))
    unfinished = [(b"%032x" % number, b"chunk") for number in range(700)]
    store._write(TopicPartition(inputs.snapshots, 0), unfinished)
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(1))


def test_a_snapshot_that_cannot_be_written_says_so_and_the_store_goes_on(
    settings: KafkaSettings, inputs: InputTopics
) -> None:
    """The topic takes no record of this size."""
    store = TopicSnapshotStore(settings, inputs.snapshots)
    store._chunk_bytes = 4_000_000
    with pytest.raises(RetriableError, match=r"snapshot of .* was not written|Message size too large"):
        store.publish(checkpoint(1, {"large": np.random.default_rng(1).random(400_000)}))
    store.publish(checkpoint(2))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(2))
    store.close()


def test_a_forgotten_task_has_a_tombstone_for_every_key(
    store: TopicSnapshotStore, settings: KafkaSettings, inputs: InputTopics
) -> None:
    """To start anew: nothing is loaded any more, compaction leaves nothing, and a later snapshot is stored again."""
    store.forget(0)  # nothing is there
    assert records(settings, inputs) == []
    for cycle in (1, 2, 3):
        store.publish(checkpoint(cycle))
    store.forget(0)
    assert store.load(0, WANTED).checkpoint is None
    assert set(dict(records(settings, inputs)).values()) == {None}
    store.publish(checkpoint(4))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(4))
