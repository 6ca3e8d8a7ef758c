"""An app whose tasks hold what few others have together: a model of River, detectors of every kind, and rows that wait
for their labels outside of memory. And what a release leaves of it: a snapshot, and the topics beside it.

`python -m tests.storage.app_of_everything` stores the file of the present format, which is never written anew.
"""

import tempfile
import zipfile
from base64 import b64decode, b64encode
from pathlib import Path

import orjson
from river import linear_model, preprocessing

from stream import App, col, drift, models
from stream.app import compile_app
from stream.engine import snapshot_format
from stream.engine.plan import Plan
from stream.engine.protocol import CommittedOffset, StopRequested
from stream.records import TopicPartition
from stream.storage.folder import FolderSnapshotStore
from stream.testing.partition_log import Stored
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0, chargebacks, payments
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS, Running

RELEASES = Path(__file__).parent / "releases"
JOURNAL, ROWS = (TopicPartition(name, 0) for name in (FORMAT.topics.journal, FORMAT.topics.features))
_EVENTS, _STOPPED_BEHIND, _LABELS_LATE = 300, 200, 80


def declare() -> Plan:
    """The app; 16 rows that wait fit into memory."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id")
    amount = col("amount")
    events.features(
        amount=amount.log1p(),
        spend=amount.sum("1m"),
        unusual=amount / amount.ewm_mean(halflife="1h"),
        words=col("text").bag_of_words(64),
    )
    bounds = {"horizon": "1h", "state_bytes": 1, "spilled_bytes": 1}
    app.labels("chargebacks", of=events, schema=LABEL_SCHEMA, target="fraud", **bounds)  # type: ignore[arg-type]
    app.model("champion", models.StandardScaler() | models.LogisticRegression())
    app.model("passive", preprocessing.StandardScaler() | linear_model.PAClassifier())
    app.decide(by="champion", threshold=0.5)
    app.monitor(drift.ADWIN(), on=["error", "score", "features"])
    app.monitor(drift.PageHinkley(), on=["feature:amount"])
    app.monitor(drift.KSWIN(), on=["score"])
    app.monitor(drift.DDM(), on=["error"])
    return compile_app(app, {})


def broker() -> MemoryBroker:
    """Without records."""
    texts = {number: orjson.dumps(schema).decode() for number, schema in ((1, EVENT_SCHEMA), (2, LABEL_SCHEMA))}
    return MemoryBroker([EVENTS.topic, LABELS.topic], JOURNAL.topic, texts)


def fill(memory: MemoryBroker, first: int, behind: int) -> None:
    """Events of these numbers, and the labels that are known by then."""
    for number, (key, value) in list(enumerate(payments(_EVENTS)))[first:behind]:
        memory.append(EVENTS, key, value, T0 + number)
    labelled = range(max(0, first - _LABELS_LATE), max(0, behind - _LABELS_LATE))
    for number, (key, value) in zip(labelled, chargebacks(labelled, seed=first), strict=True):
        memory.append(LABELS, key, value, T0 + _LABELS_LATE + number)


def stored(folder: Path, format: int) -> MemoryBroker:
    """What a release of this format left: all inputs, those of its successor too, and what it wrote.

    Args:
        folder: where its snapshots go.
        format: of them.
    """
    with zipfile.ZipFile(RELEASES / f"format{format}-everything.zip") as left:
        left.extractall(folder)
    memory, said = broker(), orjson.loads((folder / "left.json").read_bytes())
    for topic, records in said["topics"].items():
        memory.topics[TopicPartition(topic, 0)] = [
            Stored(_bytes(key), _bytes(value), None, time_ms) for key, value, time_ms in records
        ]
    for topic, (offset, metadata) in said["committed"].items():
        memory.committed[TopicPartition(topic, 0)] = CommittedOffset(offset, metadata)
    found = FolderSnapshotStore(str(folder / "folder"), "app").load(0, [tuple(cycle) for cycle in said["cycles"]])
    assert found.damaged == ()
    assert found.checkpoint is not None
    memory.checkpoints[0].append(found.checkpoint)
    return memory


def write_release() -> None:
    """Run it until some labels have come, stop it, and store what is there, with inputs for whoever goes on."""
    memory = broker()
    fill(memory, 0, _STOPPED_BEHIND)
    running = Running(memory, plan=declare(), commit_interval_ms=20).finish_from_the_start()
    running.tell(StopRequested())
    last = memory.checkpoints[0][-1]
    fill(memory, _STOPPED_BEHIND, _EVENTS)
    kept = (EVENTS, LABELS, JOURNAL, ROWS)
    left = {
        "topics": {
            source.topic: [[_text(each.key), _text(each.value), each.timestamp_ms] for each in memory.topics[source]]
            for source in kept
        },
        "committed": {source.topic: [at.next_offset, at.metadata] for source, at in memory.committed.items()},
        "cycles": [[last.cycle, last.digest]],
    }
    with tempfile.TemporaryDirectory() as folder:
        FolderSnapshotStore(f"{folder}/folder", "app").publish(last)
        (Path(folder) / "left.json").write_bytes(orjson.dumps(left))
        target = RELEASES / f"format{snapshot_format.FORMAT}-everything.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    out.write(path, path.relative_to(folder))
    print(target, target.stat().st_size, len(memory.topics[ROWS]), "segments", last.cycle, "cycles")


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


if __name__ == "__main__":
    write_release()
