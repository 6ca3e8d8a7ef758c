"""Alerts become records (schemas/alert/v1.avsc)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from stream import drift
from stream.engine.encoded import EncodedRecord
from stream.engine.monitoring import SHARE_WINDOW, FoundDrift, PassedShare
from stream.engine.plan import Plan
from stream.engine.small_avro import encode_small
from stream.records import RecordBatch


@dataclass(frozen=True, slots=True)
class AlertWriter:
    """Writes the alerts of one task."""

    plan: Plan
    partition: int
    header: bytes | None  # wire format and schema id; None writes JSON

    def drift(self, found: FoundDrift, now_ms: int) -> EncodedRecord:
        """A change that a detector found."""
        monitor = self.plan.monitors[found.monitor]
        signal = monitor.signals[found.signal]
        model = self.plan.models[signal.model].name if signal.model >= 0 else None
        detection = found.detection
        source = f"{self.plan.app}/{model}" if model else self.plan.app
        sentence = drift.describe(source, self.partition, signal.name.replace(":", " "), monitor.detector, detection)
        return self._record(
            now_ms,
            {
                "kind": "DRIFT",
                "model": model,
                "topic": self.plan.events.topic,
                "offset": found.offset,
                "signal": signal.name,
                "detector": monitor.detector.name,
                "parameters": monitor.detector.parameters,
                "before": detection.before,
                "after": detection.after,
                "placed_offset": detection.placed_offset,
                "placed_time": detection.placed_time_ms,
                "severity": drift.severity(monitor.detector, detection).name,
                "sentence": sentence,
                "event_time": found.time_ms,
            },
            alike=sum(
                other.detector.name == monitor.detector.name and signal in other.signals
                for other in self.plan.monitors[: found.monitor]
            ),
        )

    def rejections(self, batch: RecordBatch, passed: PassedShare, now_ms: int) -> EncodedRecord:
        """A share of rejected records above the limit."""
        limit = self.plan.rejection_limit
        what = f"were rejected (limit {limit:.1%}); the dead-letter topic says why"
        return self._share("REJECTIONS", "rejections", limit, batch, passed, what, now_ms)

    def lost_labels(self, batch: RecordBatch, passed: PassedShare, now_ms: int) -> EncodedRecord:
        """A share above the limit of labels that were rejected or say nothing usable."""
        limit = self.plan.rejection_limit
        what = (
            f"of {batch.topic} teach nothing (limit {limit:.1%}): they were rejected (the dead-letter topic says why), "
            "or have no id, no target or one of no known class"
        )
        return self._share("REJECTIONS", "labels", limit, batch, passed, what, now_ms)

    def key_mismatches(self, batch: RecordBatch, passed: PassedShare, now_ms: int) -> EncodedRecord:
        """Records whose key field does not encode to their own key (rule 19)."""
        names = ", ".join(column.name for column in self.plan.events.key)
        what = (
            f"have a record key that is not their field {names}: events of one key may lie in several partitions, and "
            "keyed features then see only a part of them. Let the producer set the key"
        )
        return self._share("OTHER", "keys", 0.0, batch, passed, what, now_ms)

    def other_partitions(self, batch: RecordBatch, passed: PassedShare, now_ms: int) -> EncodedRecord:
        """Records whose key belongs into another partition."""
        what = (
            "that were looked at lie in another partition than the murmur2 of their key: a producer has another "
            "partitioner than Kafka's default (librdkafka's is another one: set partitioner=murmur2_random), or the "
            "topic was given more partitions. Keyed features then see only a part of a key's events"
        )
        return self._share("OTHER", "partitions", 0.0, batch, passed, what, now_ms)

    def _share(
        self, kind: str, signal: str, limit: float, batch: RecordBatch, passed: PassedShare, what: str, now_ms: int
    ) -> EncodedRecord:
        offset, time_ms = int(batch.offsets[passed.row]), int(batch.timestamps_ms[passed.row])
        here = f"{self.plan.app}, partition {self.partition}"
        return self._record(
            now_ms,
            {
                "kind": kind,
                "model": None,
                "topic": batch.topic,
                "offset": offset,
                "signal": signal,
                "detector": "share",
                "parameters": {"limit": limit, "window": float(SHARE_WINDOW)},
                "before": passed.before,
                "after": passed.after,
                "placed_offset": offset,
                "placed_time": time_ms,
                "severity": "CRITICAL" if passed.after > 0.5 else "WARNING",
                "sentence": f"{here}: {passed.after:.1%} of {SHARE_WINDOW} records up to offset {offset:,} {what}",
                "event_time": time_ms,
            },
        )

    def _record(self, now_ms: int, alert: Mapping[str, Any], alike: int = 0) -> EncodedRecord:
        """One alert; `alike` monitors before its own have the same detector on the same signal."""
        plan = self.plan
        names = [plan.app, alert["topic"], self.partition, alert["offset"], alert["signal"], alert["detector"]]
        if alert["model"]:
            names.insert(4, alert["model"])
        if alike:
            names[-1] = f"{alert['detector']}-{alike + 1}"
        value = {
            **alert,
            "id": "/".join(map(str, names)),
            "app": plan.app,
            "partition": self.partition,
            "processing_time": now_ms,
        }
        if self.header is None:
            encoded = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        else:
            encoded = self.header + encode_small("alert", value)
        return EncodedRecord(value["id"].encode(), encoded, None, now_ms)
