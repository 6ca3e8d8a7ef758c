"""How many partitions the topics of a worker have (rule 13)."""

from stream.config import InputTopics, KafkaSettings
from stream.errors import ConfigError
from stream.kafka.reader import Reader
from stream.kafka.topic_checks import unequal_partitions


def count_partitions(settings: KafkaSettings, topics: InputTopics) -> int:
    """The partitions of each topic that tasks read.

    Raises:
        ConfigError: a topic is missing, or they have not the same partitions.
        RetriableError: no broker answers.
    """
    names = filter(None, (*topics.sources, topics.journal, topics.snapshots))
    with Reader(settings) as reader:
        counts = {topic: len(reader.partitions(topic)) for topic in names}
    if problem := unequal_partitions(counts):
        raise ConfigError(problem)
    return counts[topics.events]
