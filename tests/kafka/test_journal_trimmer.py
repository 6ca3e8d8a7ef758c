"""The journal is deleted up to the older of the two snapshots, and no further (rule 23)."""

from confluent_kafka import Producer

from stream.config import InputTopics, KafkaSettings
from stream.kafka.journal_trimmer import JournalTrimmer
from stream.kafka.reader import Reader
from stream.records import TopicPartition


def test_rule_23_the_journal_keeps_what_the_older_snapshot_needs(settings: KafkaSettings, inputs: InputTopics) -> None:
    """Snapshots of cycles 4, 8 and 12: at the third, 8 and 12 are kept, and cycle 8's record is still there."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    trimmer = JournalTrimmer(settings, inputs.journal)
    journal = TopicPartition(inputs.journal, 0)
    beginnings = []

    for _ in range(3):
        for cycle in range(4):
            producer.produce(inputs.journal, f"cycle {cycle}", partition=0)
        producer.flush(10)
        trimmer.published(0, trimmer.before_publish(0))
        with Reader(settings) as reader:
            beginnings.append(reader.watermarks(journal)[0])
    trimmer.close()

    assert beginnings == [0, 0, 4]  # offset 4 is cycle 5: cycle 8, at offset 7, is still there
