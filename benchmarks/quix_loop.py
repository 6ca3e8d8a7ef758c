"""A peer of the recovery benchmark: Quix Streams keeps ten figures a card in its state, changelog on.

Runs in an environment of its own (`make bench-recovery` makes it: Quix pins another confluent-kafka) and imports
nothing of this project. Arguments: broker, event topic, output topic, folder of its state, consumer group.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
from quixstreams import Application, State

SCHEMA = fastavro.parse_schema(json.loads((Path(__file__).parent / "card.avsc").read_text()))
HALFLIVES_MS = (7_000.0, 70_000.0, 700_000.0)
_HEADER_BYTES = 5


def features(value: bytes, state: State) -> bytes:
    """The ten keyed figures of benchmarks/card_app.py after this event; they are the state of its card."""
    event: Any = fastavro.schemaless_reader(io.BytesIO(value[_HEADER_BYTES:]), SCHEMA, None)
    time_ms, amount = event["ts"], event["amount"]
    if not isinstance(time_ms, int):
        time_ms = round(time_ms.timestamp() * 1000)
    before = state.get("figures") or [time_ms, *[0.0] * 9]
    idle_ms = max(0, time_ms - before[0])
    after = [time_ms]
    for place, halflife_ms in enumerate(HALFLIVES_MS):
        decay = 0.5 ** (idle_ms / halflife_ms)
        count = before[1 + 3 * place] * decay + 1
        total = before[2 + 3 * place] * decay + amount
        after += [count, total, amount / (total / count + 1e-9)]
    state.set("figures", after)
    return json.dumps(after).encode()


def main() -> None:
    """Run until killed."""
    broker, events, output, folder, group = sys.argv[1:]
    app = Application(
        broker_address=broker,
        consumer_group=group,
        state_dir=folder,
        auto_offset_reset="earliest",
        commit_interval=0.1,
        loglevel="INFO",
    )
    source = app.topic(events, value_deserializer="bytes", key_deserializer="bytes")
    sink = app.topic(output, value_serializer="bytes", key_serializer="bytes")
    app.dataframe(source).apply(features, stateful=True).to_topic(sink)
    app.run()


if __name__ == "__main__":
    main()
