"""Snapshots in a folder: two kept, each whole or not there."""

import os
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.engine.snapshot_format import CHUNK_BYTES, cut, decode_manifest, describe, encode_manifest
from stream.errors import ConfigError, RetriableError, TaskCorrupted
from stream.storage import files, folder
from stream.storage.folder import FolderSnapshotStore
from tests.checkpoints import assert_same, checkpoint

WANTED = [(cycle, f"digest{cycle}") for cycle in range(1, 10)]


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_the_two_newest_snapshots_are_kept(tmp_path: Path, prefix: str) -> None:
    """The third replaces the first, under a path or a URL."""
    store = FolderSnapshotStore(f"{prefix}{tmp_path}/snapshots", "app")
    for cycle in (1, 2, 3):
        store.publish(checkpoint(cycle))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))
    assert_same(store.load(0, [(2, "digest2")]).checkpoint, checkpoint(2))
    assert store.load(0, [(1, "digest1")]).checkpoint is None
    assert store.load(1, WANTED).checkpoint is None
    folder = tmp_path / "snapshots" / "app"
    assert sorted(file.name for file in folder.iterdir()) == ["0.a.manifest", "0.b.manifest", "0.chunks"]
    assert stored_chunks(tmp_path / "snapshots") == chunks_of(3, 2)


def test_arrays_of_every_shape_and_kind_come_back_bit_for_bit(tmp_path: Path) -> None:
    """No dimension, no elements, transposed, NaN with its payload, unsigned, boolean."""
    arrays: dict[str, NDArray[np.generic]] = {
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 3)),
        "turned": np.arange(6, dtype=np.int32).reshape(2, 3).T,
        "nan": np.array([0x7FF8000000000123], np.uint64).view(np.float64),
        "flags": np.array([True, False]),
    }
    store = FolderSnapshotStore(str(tmp_path), "app")
    store.publish(checkpoint(1, arrays))
    found = store.load(0, WANTED).checkpoint
    assert found is not None
    assert_same(found, checkpoint(1, {name: np.array(array, order="C") for name, array in arrays.items()}))


def damage(path: Path) -> None:
    """Turn one bit."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    """Lose the second half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [damage, cut_short, Path.unlink])
@pytest.mark.parametrize("place", ["0.b.manifest", "0.chunks"])
def test_a_damaged_snapshot_is_reported_and_the_older_one_used(
    tmp_path: Path, place: str, harm: Callable[[Path], None], logged: list[MutableMapping[str, Any]]
) -> None:
    """A bit is turned, a half lost, a file deleted; and snapshots that follow are whole again."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    arrays = {"table": np.random.default_rng(1).random(100_000), "small": np.arange(3)}
    store.publish(checkpoint(1, arrays | {"large": np.random.default_rng(2).random(100_000)}))
    store.publish(checkpoint(2, arrays | {"large": np.random.default_rng(3).random(100_000)}))
    path = tmp_path / "app" / place
    if path.is_dir():
        (path, *_) = path.glob(f"{min(chunks_of_checkpoint(tmp_path, 'b') - chunks_of_checkpoint(tmp_path, 'a'))}.*")
    harm(path)
    found = store.load(0, WANTED)
    assert found.checkpoint is not None
    assert found.checkpoint.cycle == 1
    if path.name == "0.b.manifest" and harm is Path.unlink:
        assert found.damaged == ()
        return
    assert "0.b.manifest" in found.damaged[0]
    assert [(line["event"], Path(line["path"]).name) for line in logged] == [
        ("a damaged snapshot is left out", "0.b.manifest")
    ]
    store.publish(checkpoint(3, dict(found.checkpoint.arrays)))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3, dict(found.checkpoint.arrays)))


def test_a_damaged_chunk_that_did_not_change_is_written_anew(tmp_path: Path) -> None:
    """Both snapshots have it: none can be loaded; the next one, from the same state, can."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    table = np.random.default_rng(1).random(100_000)
    for cycle in (1, 2):
        store.publish(checkpoint(cycle, {"table": table}))
    damage(sorted((tmp_path / "app" / "0.chunks").iterdir())[0])
    assert store.load(0, WANTED).checkpoint is None
    store.publish(checkpoint(3, {"table": table}))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3, {"table": table}))


def test_what_did_not_change_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 MB of rows one changed: a chunk of 256 KB, what is small, and the manifest; also where the table grew."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    rows = np.random.default_rng(1).random((100_000, 8))
    entries = np.arange(200_000)
    store.publish(checkpoint(1, {"rows": rows, "entries": entries, "small": np.arange(7)}))
    written: list[int] = []
    write = files.Files.write

    def counted(self: files.Files, name: str, content: bytes | memoryview, aside: str) -> None:
        written.append(len(content))
        write(self, name, content, aside)

    monkeypatch.setattr(files.Files, "write", counted)
    rows[70_000] += 1
    grown = np.concatenate((rows, np.ones((10, 8))))
    given = checkpoint(2, {"rows": grown, "entries": entries, "small": np.arange(8)})
    store.publish(given)
    assert sum(written) < 2 * CHUNK_BYTES + 10_000
    assert_same(store.load(0, WANTED).checkpoint, given)


def test_chunks_of_a_killed_writer_are_deleted_an_hour_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another worker's, which is not done yet: what no manifest names stays for an hour."""
    store = FolderSnapshotStore(str(tmp_path), "app")

    def killed(_: object) -> bytes:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(folder, "encode_manifest", killed)
        store.publish(checkpoint(7))
    store.publish(checkpoint(1))
    chunks = tmp_path / "app" / "0.chunks"
    (orphan,) = stored_chunks(tmp_path) - chunks_of(1)
    (unfinished := chunks / "chunk.1-ab.unfinished").touch()
    for path in (unfinished, *chunks.glob(f"{orphan}.*")):
        os.utime(path, (0, 0))
    store.publish(checkpoint(2))
    assert stored_chunks(tmp_path) == chunks_of(1, 2)


def chunks_of(*cycles: int) -> set[str]:
    """Names of the chunks of these checkpoints."""
    return {piece.key for cycle in cycles for piece in cut(checkpoint(cycle))}


def stored_chunks(tmp_path: Path) -> set[str]:
    """Names of the chunks that are there; behind each one's stands the number of the snapshot that wrote it."""
    return {file.name.partition(".")[0] for file in (tmp_path / "app" / "0.chunks").iterdir()}


def chunks_of_checkpoint(tmp_path: Path, slot: str) -> set[str]:
    """Names of the chunks that a slot's manifest names."""
    return {chunk.key for chunk in decode_manifest((tmp_path / "app" / f"0.{slot}.manifest").read_bytes()).chunks}


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3])
def test_a_crash_while_writing_leaves_the_newer_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """Disk full at one of three chunks or at the manifest: one clear error, and both before it are whole."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    calls: list[object] = []

    def full(file: object) -> None:
        calls.append(file)
        if len(calls) == dies_at + 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(RetriableError, match=r"partition 0 was not written.*No space left on device.*Make room"):
        store.publish(checkpoint(3, {"small": np.arange(3), "large": np.arange(50_000)}))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(2))
    assert_same(store.load(0, [(1, "digest1")]).checkpoint, checkpoint(1))
    assert stored_chunks(tmp_path) == chunks_of(1, 2)
    store.publish(checkpoint(4))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(4))
    assert_same(store.load(0, [(2, "digest2")]).checkpoint, checkpoint(2))


def test_a_url_of_no_known_kind_is_a_config_error() -> None:
    """The text names it."""
    with pytest.raises(ConfigError, match="nonsense://x cannot be used"):
        FolderSnapshotStore("nonsense://x", "app")


def test_an_object_store_works_the_same() -> None:
    """Any fsspec URL; here the one in memory."""
    store = FolderSnapshotStore("memory://snapshots-test", "app")
    for cycle in (1, 2, 3):
        store.publish(checkpoint(cycle))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))


def test_a_manifest_of_a_later_format_is_refused_with_its_number() -> None:
    """An older release must not guess."""
    content = encode_manifest(describe(checkpoint(), ()))
    with pytest.raises(TaskCorrupted, match="format 3, this release reads up to 2"):
        decode_manifest(content.replace(b"stream-snapshot 2", b"stream-snapshot 3", 1))


@pytest.mark.parametrize("url", ["{}", "{}/", "file://{}", "memory://{}"])
def test_apps_and_prefixes_that_share_a_url_keep_their_own(tmp_path: Path, url: str) -> None:
    """One setting for all apps of a machine: partition 0 of one is not partition 0 of another, however old."""
    shared = url.format(tmp_path)
    fraud, spam, tried = (FolderSnapshotStore(shared, app) for app in ("fraud", "spam", "test-fraud"))
    for cycle in (8, 9):
        fraud.publish(checkpoint(cycle))
    spam.publish(checkpoint(1))
    tried.publish(checkpoint(2))
    fraud.publish(checkpoint(7))

    assert_same(spam.load(0, WANTED).checkpoint, checkpoint(1))
    assert_same(tried.load(0, WANTED).checkpoint, checkpoint(2))
    assert_same(fraud.load(0, WANTED).checkpoint, checkpoint(9))


def test_a_forgotten_task_has_no_snapshot_and_its_neighbour_keeps_its_own(tmp_path: Path) -> None:
    """To start anew: both slots of one partition are gone, and a later snapshot is stored as the first was."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    for cycle in (1, 2):
        store.publish(checkpoint(cycle))
        store.publish(replace(checkpoint(cycle), partition=1))
    store.forget(0)
    assert store.load(0, WANTED).checkpoint is None
    assert sorted(path.name[0] for path in (tmp_path / "app").iterdir()) == ["1"] * 3
    assert_same(store.load(1, WANTED).checkpoint, replace(checkpoint(2), partition=1))
    store.publish(checkpoint(3))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))
