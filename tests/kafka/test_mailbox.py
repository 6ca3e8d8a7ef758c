"""Where helper threads leave their answers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from stream.kafka.mailbox import Mailbox


def test_what_a_helper_thread_logs_is_of_the_stage_that_wanted_it() -> None:
    """A thread that outlives one piece of work has the next one's."""
    mailbox, bound = Mailbox(), list[dict[str, Any]]()

    def work() -> None:
        bound.append(structlog.contextvars.get_contextvars())

    with ThreadPoolExecutor(1) as thread:
        for stage in ("entry", "last"):
            with structlog.contextvars.bound_contextvars(stage=stage):
                mailbox.run(thread, work)
        mailbox.run(thread, work)
    assert bound == [{"stage": "entry"}, {"stage": "last"}, {}]
