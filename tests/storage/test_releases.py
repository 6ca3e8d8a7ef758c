"""Snapshots that earlier releases stored: each format, as it lay in a folder and in a topic, is read by this one.

The files in `releases` are never written anew. A new format adds one: `python -m tests.storage.test_releases`.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream import App, col, models
from stream.app import compile_app
from stream.engine.labels import LabelStore
from stream.engine.plan import Plan
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import FORMAT, Assembly, Chunk, cut, decode_manifest, describe, encode_manifest
from stream.records import FeatureLayout
from stream.storage.folder import FolderSnapshotStore
from tests.engine.build import EVENT_SCHEMA, LABEL_SCHEMA, T0, batch, chargebacks, payments, task_of

RELEASES = Path(__file__).parent / "releases"
FORMATS = range(1, FORMAT + 1)
# Of all names, types, shapes and bytes. Format 1 had the indexes of ids too.
DIGESTS = {
    1: "47faf4ada6ff0791747e9b5351663f478e1ec8c5674aec8ef3a92e42177dd581",
    2: "5db022f2ee935ac05a97d4507411fedac6404c85952294e9bf7ce42eea2c95fb",
}


def declare() -> Plan:
    """The app whose snapshots the files are."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id")
    amount = col("amount")
    events.features(
        amount=amount.log1p(),
        spend=amount.sum("1m"),
        most=amount.max("1m"),
        kinds=col("text").nunique("1m"),
        words=col("text").bag_of_words(64),
    )
    app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", horizon="1h", state_bytes=1 << 16)
    app.model("champion", models.LogisticRegression())
    return compile_app(app, {})


def digest_of(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Hex digest of all names, types, shapes and bytes."""
    content = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(array.tobytes())
    return content.hexdigest()


def check(checkpoint: Checkpoint | None, format: int) -> None:
    """What the release that wrote it had in hand, and a few values spelled out."""
    assert checkpoint is not None
    assert (checkpoint.partition, checkpoint.cycle, checkpoint.digest) == (0, 1, "digest1")
    assert {source.topic: at for source, at in checkpoint.next_offsets.items()} == {"payments": 61, "chargebacks": 15}
    assert (checkpoint.created_ms, len(checkpoint.facts["schemas"]) > 100) == (T0, True)
    assert digest_of(checkpoint.arrays) == DIGESTS[format]
    assert checkpoint.arrays["model/champion/scalars"][3] == -0.011478588960224858
    assert checkpoint.arrays["features/keys0.rows"][0, :4].tolist() == [T0 + 50, 1, 49, 4]


@pytest.mark.parametrize("format", FORMATS)
def test_a_snapshot_of_every_format_is_read_from_a_folder(tmp_path: Path, format: int) -> None:
    """And the next snapshots take the places of its files."""
    zipfile.ZipFile(RELEASES / f"format{format}.zip").extractall(tmp_path)
    store = FolderSnapshotStore(str(tmp_path / "folder"), "app")
    stored = store.load(0, [(1, "digest1")])
    assert stored.damaged == ()
    check(stored.checkpoint, format)
    assert stored.checkpoint is not None
    for cycle in (2, 3):
        store.publish(replace(stored.checkpoint, cycle=cycle, digest="later"))
    later = store.load(0, [(3, "later")]).checkpoint
    assert later is not None
    check(replace(later, cycle=1, digest="digest1"), format)
    left = {path.name for path in (tmp_path / "folder" / "app").iterdir()}
    assert left == {"0.a.manifest", "0.b.manifest", "0.chunks"}


@pytest.mark.parametrize("format", FORMATS)
def test_a_snapshot_of_every_format_is_read_from_records_of_a_topic(tmp_path: Path, format: int) -> None:
    """The manifest's record, and those of the chunks that it names."""
    zipfile.ZipFile(RELEASES / f"format{format}.zip").extractall(tmp_path)
    records = tmp_path / "topic"
    manifest = decode_manifest((records / "manifest").read_bytes())
    assembly = Assembly(manifest)
    for chunk in {chunk.key: chunk for chunk in manifest.chunks}.values():

        def read(place: memoryview, chunk: Chunk = chunk) -> int:
            place[:] = (records / chunk.key).read_bytes()
            return len(place)

        assembly.put(chunk, read)
    check(assembly.checkpoint(), format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_task_goes_on_with_the_labels_of_every_format(tmp_path: Path, format: int) -> None:
    """57 rows wait; a label of one of them is learned, a second one of an event is a duplicate."""
    zipfile.ZipFile(RELEASES / f"format{format}.zip").extractall(tmp_path)
    stored = FolderSnapshotStore(str(tmp_path / "folder"), "app").load(0, [(1, "digest1")]).checkpoint
    assert stored is not None
    plan = declare()
    assert plan.labels is not None
    layout: FeatureLayout = plan.features.layout
    store = LabelStore(layout, 0, 1, plan.labels.horizon_ms, plan.labels.state_bytes)
    store.load({name[7:]: array for name, array in stored.arrays.items() if name.startswith("labels/")})
    assert (store.waiting, store.counts.joined) == (57, 14)
    entries = stored.arrays["labels/entries"]
    waiting, labelled = entries[entries[:, 2] == 1][:1, 0], entries[entries[:, 2] == 2][:1, 0]
    assert len(store.join(np.concatenate((waiting, labelled)), np.ones(2)).targets) == 1
    assert store.counts.duplicate == 1


def write_release() -> None:
    """Store the file of the present format."""
    task = task_of(declare())
    task.process(batch("payments", payments(60), 1), T0)
    task.process(batch("chargebacks", chargebacks(range(0, 40, 3)), 1), T0)
    task.close_cycle()
    taken = task.checkpoint(T0)
    given = Checkpoint(0, 1, "digest1", taken.plan_digest, taken.next_offsets, T0, taken.arrays, taken.facts)
    folder = RELEASES / f"format{FORMAT}"
    FolderSnapshotStore(str(folder / "folder"), "app").publish(given)
    pieces = cut(given, 16384)
    chunks = tuple(Chunk(piece.key, place, len(piece.content)) for place, piece in enumerate(pieces))
    records = {piece.key: bytes(piece.content) for piece in pieces}
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder))
        for name, content in {**records, "manifest": encode_manifest(describe(given, chunks))}.items():
            out.writestr(f"topic/{name}", content)
    print(digest_of(given.arrays))


if __name__ == "__main__":
    write_release()
