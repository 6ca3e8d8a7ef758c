"""What the demo's producer says of when it sent."""

import time
from dataclasses import dataclass, field
from itertools import pairwise

from stream.cli.demo.demos import DEMOS
from stream.cli.demo.scores import Scores
from stream.cli.demo.sender import Sender
from stream.cli.demo.stage import SchemaIds
from tests.demo.offline import plan_of

NOBODY = "127.0.0.1:9"  # what is sent stays in the producer


@dataclass
class Heard(Scores):
    """Scores that remember when each event was said to be sent."""

    sent_ns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        Scores.__init__(self)

    def event_sent(self, event: int, sent_ns: int, partition: int = 0) -> None:
        """Remember it."""
        self.sent_ns.append(sent_ns)
        super().event_sent(event, sent_ns, partition)


def test_the_time_of_an_event_is_that_of_its_own_send() -> None:
    """Not that of the start or of the block it was made in: what is sent later has a later time."""
    scores = Heard()
    sender = Sender(NOBODY, DEMOS["spam"], plan_of(DEMOS["spam"]), SchemaIds(1, None, 2, 3), 500, 1, scores)
    turns = []
    for _ in range(3):
        turns.append(time.perf_counter_ns())
        sender.send(2)
    turns.append(time.perf_counter_ns())
    times = iter(scores.sent_ns)
    for before, after in pairwise(turns):
        assert before <= next(times) <= next(times) <= after
