"""What a worker looks at before it joins its group; `stream check` shows the same."""

import structlog

from stream.config import InputTopics
from stream.engine.plan import Plan
from stream.errors import ConfigError
from stream.kafka.admin import Admin
from stream.kafka.checked import Verdict
from stream.kafka.reader import Reader
from stream.kafka.start_checks import check_start, refusals
from stream.runtime.settings import Settings

_log = structlog.get_logger("stream.worker")


def check_cluster(plan: Plan, inputs: InputTopics, settings: Settings) -> None:
    """Log what is doubtful about topics, brokers and clocks, and refuse what would break a promise.

    Args:
        plan: of the app, or of one of its stages.
        inputs: what its tasks read.
        settings: of this worker.

    Raises:
        ConfigError: a topic is not there, or a setting of a topic or a broker will not do; names it and the rule.
        RetriableError: no broker answers.
    """
    kafka = settings.kafka(plan.app, plan.stage)
    with Reader(kafka) as reader:
        for topic in filter(None, (*inputs.sources, inputs.journal, inputs.snapshots, inputs.features)):
            reader.partitions(topic)  # waits for one that was made a moment ago
    names = settings.topics(plan.app, plan.stage)
    interval_ms = settings.snapshot_interval_s * 1000
    found = check_start(Admin(kafka), kafka, inputs, names, interval_ms, plan.events.topic)
    for each in found:
        if each.verdict is Verdict.DOUBTFUL:
            _log.warning(each.text)
        elif each.verdict is Verdict.UNKNOWN:
            _log.info(each.text)
    if reasons := refusals(found):
        raise ConfigError("; ".join(reasons))
