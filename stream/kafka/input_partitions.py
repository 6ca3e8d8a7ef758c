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


def check_partition(partition: int, known: int, topics: InputTopics) -> None:
    """See that a task's partition was there when its worker started, and with it those of the other topics.

    Raises:
        ConfigError: somebody has added partitions since.
    """
    if partition < known:
        return
    others = ", ".join(filter(None, (*topics.labels, topics.journal, topics.snapshots, topics.features)))
    raise ConfigError(
        f"topic {topics.events} was given more partitions while this worker ran: it had {known} and has at least "
        f"{partition + 1} now. A task needs the partition of its number in each of its topics (rule 13). Stop the "
        f"workers, give the others as many ({others}, and the topic of predictions): `kafka-topics.sh --alter --topic "
        "TOPIC --partitions COUNT`; `stream check` shows what is missing; then start the workers again. Keys that "
        "have moved to another partition begin anew there (rule 20)"
    )
