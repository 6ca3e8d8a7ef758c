"""The loop with Kafka around it: confluent-kafka's consumer and producer, one prediction out per event.

Run as a process of its own: python -m benchmarks.kafka_loop SERVERS TOPIC OUTPUT EVENTS [--exactly-once].
At least once, as most would write it: offsets are committed behind each batch, without waiting. Exactly once: produced
records and offsets in one transaction, every 100 ms.
"""

import argparse
import time

from confluent_kafka import Consumer, Message, Producer

from benchmarks.card_loop import CardLoop

_BATCH, _WAIT_S = 1000, 1.0
_COMMIT_EVERY_S = 0.1
_CALL_S = 30.0


def main() -> None:
    """Consume so many events, then end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("output")
    parser.add_argument("events", type=int)
    parser.add_argument("--exactly-once", action="store_true")
    chosen = parser.parse_args()
    group = f"{chosen.output}.loop"
    consumer = Consumer(
        {
            "bootstrap.servers": chosen.servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.min.messages": 100_000,
        }
    )
    consumer.subscribe([chosen.topic])
    producing = {"bootstrap.servers": chosen.servers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
    if chosen.exactly_once:
        run_exactly_once(consumer, Producer({**producing, "transactional.id": group}), chosen.output, chosen.events)
    else:
        run_at_least_once(consumer, Producer(producing), chosen.output, chosen.events)
    consumer.close()


def run_at_least_once(consumer: Consumer, producer: Producer, output: str, events: int) -> None:
    """Commit behind every batch, without waiting for the answer."""
    loop, done = CardLoop(), 0
    while done < events:
        messages = consumer.consume(min(_BATCH, events - done), _WAIT_S)
        handle(loop, producer, output, messages)
        done += len(messages)
        if messages:
            consumer.commit(asynchronous=True)
    producer.flush(_CALL_S)


def run_exactly_once(consumer: Consumer, producer: Producer, output: str, events: int) -> None:
    """Commit outputs and offsets in one transaction every 100 ms."""
    producer.init_transactions(_CALL_S)
    loop, done = CardLoop(), 0
    while done < events:
        producer.begin_transaction()
        began = time.monotonic()
        while done < events and time.monotonic() - began < _COMMIT_EVERY_S:
            messages = consumer.consume(min(_BATCH, events - done), _COMMIT_EVERY_S)
            handle(loop, producer, output, messages)
            done += len(messages)
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), _CALL_S)
        producer.commit_transaction(_CALL_S)


def handle(loop: CardLoop, producer: Producer, output: str, messages: list[Message]) -> None:
    """Predict for each message and hand the predictions to the producer."""
    for message in messages:
        if message.error():
            raise SystemExit(message.error().str())
        producer.produce(output, loop.handle(message.value()), message.key())
    producer.poll(0)


if __name__ == "__main__":
    main()
