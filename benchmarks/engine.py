"""The engine alone, with no Kafka: bytes of events in, bytes of predictions out, on one core.

Run: python -m benchmarks.engine (`make bench-engine`). With --profile it also prints where the time goes. Both sides
are measured by the processor time of the process (all its threads), which other processes on the machine disturb less.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Iterator

import numpy as np
import orjson

from benchmarks.card_app import app
from benchmarks.card_events import SCHEMA, CardEvents, card_events
from benchmarks.card_loop import CardLoop
from benchmarks.report import report
from stream.app import compile_app
from stream.avro import Framing, header
from stream.config import TopicNames
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.records import RecordBatch
from stream.runtime.settings import load_settings
from stream.runtime.worker import use_kernel_cache

SCHEMA_ID = 1
_HEADER_BYTES = 5
# What a worker hands its task under load is a slice of some 10,000 to 65,000 records.
_BATCH = 16_384
NOW_MS = 1_800_000_000_000
OURS, LOOP = "stream", "fastavro + River"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="for the engine, in each round")
    parser.add_argument("--loop-events", type=int, default=40_000, help="for the loop, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="also print where the engine's time goes")
    chosen = parser.parse_args()
    use_kernel_cache(load_settings(None).values)
    plan = compile_app(app, {})
    events = card_events(chosen.events, SCHEMA_ID)
    size = (len(events.key_data) + len(events.value_data)) / len(events)
    print(f"{chosen.events:,} events of {size:.0f} bytes with their keys, {chosen.rounds} rounds", flush=True)
    check_same_scores(plan, events, min(5_000, chosen.loop_events))
    measured: dict[str, list[float]] = {OURS: [], LOOP: []}
    for _ in range(chosen.rounds):
        measured[OURS].append(engine_rate(plan, events))
        measured[LOOP].append(loop_rate(events, chosen.loop_events))
    if chosen.profile:
        profile(plan, events)
    report(
        "engine, one core: decode, 11 features, scale, predict, learn, ADWIN, encode",
        "events/s",
        OURS,
        [LOOP],
        measured,
    )


def engine_rate(plan: Plan, events: CardEvents) -> float:
    """Events a second of a task that begins empty."""
    task, batches = ready_task(plan, events), list(batches_of(events))
    began_s = time.process_time()
    for batch in batches:
        task.process(batch, NOW_MS)
    return len(events) / (time.process_time() - began_s)


def loop_rate(events: CardEvents, count: int) -> float:
    """Events a second of the loop, which begins empty too."""
    loop, values = CardLoop(), [value for _, value in events.pairs(0, count)]
    began_s = time.process_time()
    for value in values:
        loop.handle(value)
    return len(values) / (time.process_time() - began_s)


def check_same_scores(plan: Plan, events: CardEvents, count: int) -> None:
    """Both do the same job: their scores agree."""
    task, loop = ready_task(plan, events), CardLoop()
    batch = next(batches_of(events)).part(0, count)
    (predictions,) = task.process(batch, NOW_MS).predictions
    theirs = [orjson.loads(loop.handle(value))["score"] for _, value in events.pairs(0, count)]
    ours = [
        decode_small("prediction", predictions.data[start + _HEADER_BYTES : end].tobytes())["score"]
        for start, end in predictions.values.tolist()
    ]
    furthest = float(np.max(np.abs(np.array(ours) - theirs)))
    print(f"largest difference between scores of the two over {count:,} events: {furthest:.1e}", flush=True)
    if not furthest < 1e-9:
        raise SystemExit("the two do not do the same job: a comparison would mean nothing")


def ready_task(plan: Plan, events: CardEvents) -> Task:
    """An empty task that knows the writer's schema and whose kernels are compiled."""
    output_format = OutputFormat(
        TopicNames.of(plan.app), header(Framing.CONFLUENT, SCHEMA_ID + 1), header(Framing.CONFLUENT, SCHEMA_ID + 2)
    )
    for is_last in (False, True):
        task = Task(plan, 0, 1, output_format)
        first = next(batches_of(events)).part(0, 2)
        task.process(first, NOW_MS)
        task.answer_schema(SchemaFetched(SCHEMA_ID, SCHEMA))
        if not is_last:
            task.process(first, NOW_MS)
    return task


def batches_of(events: CardEvents) -> Iterator[RecordBatch]:
    """The events as a transport hands them over: keys and values of a batch in one buffer."""
    for first in range(0, len(events), _BATCH):
        end = min(first + _BATCH, len(events))
        keys, values = events.keys[first:end], events.values[first:end]
        key_data = events.key_data[keys[0, 0] : keys[-1, 1]]
        value_data = events.value_data[values[0, 0] : values[-1, 1]]
        yield RecordBatch(
            app.event_stream.topic if app.event_stream else "",
            0,
            np.concatenate([key_data, value_data]),
            keys - keys[0, 0],
            values - values[0, 0] + len(key_data),
            np.arange(first, end),
            events.times_ms[first:end],
            np.full((end - first, 2), -1, np.int64),
        )


def profile(plan: Plan, events: CardEvents) -> None:
    """Print what each function costs, in ns an event, without what it calls."""
    task, batches = ready_task(plan, events), list(batches_of(events))
    profiler = cProfile.Profile(time.process_time)
    profiler.enable()
    for batch in batches:
        task.process(batch, NOW_MS)
    profiler.disable()
    functions = pstats.Stats(profiler).get_stats_profile().func_profiles
    print("\nwhere the time goes, ns/event")
    for name, each in sorted(functions.items(), key=lambda item: -item[1].tottime)[:16]:
        print(f"{each.tottime / len(events) * 1e9:8.1f}  {name}  {each.file_name}:{each.line_number}")


if __name__ == "__main__":
    main()
