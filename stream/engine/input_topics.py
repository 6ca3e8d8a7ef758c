"""Which topics a snapshot's offsets are of (rule 20): made anew, a topic has the same name and other records."""

from collections.abc import Mapping

from stream.engine.protocol import TopicIdentity
from stream.engine.snapshot import Checkpoint
from stream.errors import TaskCorrupted

_TOPIC = "topic/"


def facts_of_topics(topics: Mapping[str, TopicIdentity]) -> dict[str, str]:
    """What a snapshot says of the inputs that it was made from."""
    return {f"{_TOPIC}{name}": f"{topic.topic_id} {topic.partitions}" for name, topic in topics.items()}


def topics_of(checkpoint: Checkpoint) -> dict[str, TopicIdentity]:
    """The inputs that a snapshot was made from, by name; those that were not known then are absent."""
    found = {}
    for name, fact in checkpoint.facts.items():
        if name.startswith(_TOPIC):
            topic_id, _, partitions = fact.rpartition(" ")
            found[name.removeprefix(_TOPIC)] = TopicIdentity(topic_id, int(partitions))
    return found


def check_same_topics(checkpoint: Checkpoint, topics: Mapping[str, TopicIdentity], how_to_reset: str) -> None:
    """Raise TaskCorrupted if an input is not the topic that the snapshot's offsets are of.

    Args:
        checkpoint: that a task is to go on from.
        topics: as they are now.
        how_to_reset: where to read what ends the error.
    """
    for name, before in topics_of(checkpoint).items():
        now = topics.get(name, before)
        if now.topic_id != before.topic_id:
            raise TaskCorrupted(
                f"topic {name} was deleted and made again since the snapshot of cycle {checkpoint.cycle} (its id was "
                f"{before.topic_id}, now it is {now.topic_id}): offsets of journal and snapshots are those of records "
                f"that are gone (rule 20). Reset the task, its group's offsets too ({how_to_reset})"
            )
