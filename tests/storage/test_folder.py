"""Snapshots in a folder: two kept, each whole or not there."""

from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.engine.snapshot_format import cut, decode_manifest, describe, encode_arrays, encode_manifest
from stream.errors import ConfigError, RetriableError, TaskCorrupted
from stream.storage import folder
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
    assert sorted(file.name for file in (tmp_path / "snapshots" / "app").iterdir()) == [
        "0.a.manifest",
        "0.a.safetensors",
        "0.b.manifest",
        "0.b.safetensors",
    ]


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


def test_a_damaged_file_is_reported_and_the_older_snapshot_used(tmp_path: Path) -> None:
    """One bit of the newest arrays is turned."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    path = tmp_path / "app" / "0.b.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = store.load(0, WANTED)
    assert_same(found.checkpoint, checkpoint(1))
    assert "0.b.safetensors" in found.damaged[0]
    assert "damaged" in found.damaged[0]


@pytest.mark.parametrize("name", ["0.b.manifest", "0.b.safetensors"])
def test_what_is_damaged_is_in_the_log(tmp_path: Path, name: str, logged: list[MutableMapping[str, Any]]) -> None:
    """The newest manifest or its arrays are overwritten: one warning that names the file, and the older one is used."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    path = tmp_path / "app" / name
    path.write_bytes(b"garbage")
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(1))
    assert [(line["event"], line["path"]) for line in logged] == [("a damaged snapshot is left out", str(path))]
    assert "damaged" in logged[0]["reason"]


@pytest.mark.parametrize("dies_at", [0, 1])
def test_a_crash_while_writing_leaves_the_newer_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """Disk full at the arrays or at the manifest: one clear error, and the newest one before is loaded."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    store.publish(checkpoint(1))
    store.publish(checkpoint(2))
    calls: list[object] = []

    def full(file: object) -> None:
        calls.append(file)
        if len(calls) == dies_at + 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "_sync", full)
    with pytest.raises(RetriableError, match=r"partition 0 was not written.*No space left on device.*make room"):
        store.publish(checkpoint(3))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(2))
    assert not list(tmp_path.rglob("*.unfinished"))
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
    content = encode_manifest(describe(checkpoint(), b""))
    with pytest.raises(TaskCorrupted, match="format 2, this release reads up to 1"):
        decode_manifest(content.replace(b"stream-snapshot 1", b"stream-snapshot 2", 1))


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


def test_an_array_that_did_not_change_gives_the_same_chunks_wherever_it_lies() -> None:
    """The array before it grew; its own chunks are found again."""
    kept = np.arange(1000)
    before = cut(encode_arrays(checkpoint(1, {"a": np.zeros(10), "kept": kept})), 1024)
    after = cut(encode_arrays(checkpoint(1, {"a": np.zeros(50), "kept": kept})), 1024)
    chunks_of_kept = {bytes(kept.tobytes()[start : start + 1024]) for start in range(0, kept.nbytes, 1024)}
    assert chunks_of_kept <= {bytes(piece) for piece in before}
    assert chunks_of_kept <= {bytes(piece) for piece in after}
    assert all(len(piece) <= 1024 for piece in before + after)


def test_a_forgotten_task_has_no_snapshot_and_its_neighbour_keeps_its_own(tmp_path: Path) -> None:
    """To start anew: both slots of one partition are gone, and a later snapshot is stored as the first was."""
    store = FolderSnapshotStore(str(tmp_path), "app")
    for cycle in (1, 2):
        store.publish(checkpoint(cycle))
        store.publish(replace(checkpoint(cycle), partition=1))
    store.forget(0)
    assert store.load(0, WANTED).checkpoint is None
    assert sorted(path.name[0] for path in (tmp_path / "app").iterdir()) == ["1"] * 4
    assert_same(store.load(1, WANTED).checkpoint, replace(checkpoint(2), partition=1))
    store.publish(checkpoint(3))
    assert_same(store.load(0, WANTED).checkpoint, checkpoint(3))
