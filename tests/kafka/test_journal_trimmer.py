"""The journal is deleted up to the older of the two snapshots, and no further (rule 23)."""

from confluent_kafka import Producer

from stream.config import InputTopics, KafkaSettings
from stream.kafka.journal_trimmer import JournalTrimmer
from stream.kafka.reader import Reader
from stream.records import TopicPartition


def test_rule_23_the_journal_keeps_what_the_older_snapshot_needs(settings: KafkaSettings, inputs: InputTopics) -> None:
    """Snapshots of cycles 4, 8 and 12: at the third, 8 and 12 are kept, and cycle 8's record is still there.

    Two more of cycle 12 follow, as of a task that is held back: its record stays, or nothing could begin at them.
    """
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    trimmer = JournalTrimmer(settings, inputs.journal)
    journal = TopicPartition(inputs.journal, 0)
    beginnings = []

    for snapshot in range(3):
        for cycle in range(4):
            producer.produce(inputs.journal, f"cycle {cycle}", partition=0)
        producer.flush(10)
        trimmer.published(0, f"digest {snapshot}", trimmer.before_publish(0))
        beginnings.append(beginning(settings, journal))
    for _ in range(2):
        trimmer.published(0, "digest 2", trimmer.before_publish(0))
        beginnings.append(beginning(settings, journal))
    trimmer.close()

    assert beginnings == [0, 0, 4, 4, 4]  # offset 4 is cycle 5: cycle 8, at offset 7, is still there


def beginning(settings: KafkaSettings, source: TopicPartition) -> int:
    """The first offset that is still there."""
    with Reader(settings) as reader:
        return reader.watermarks(source)[0]
