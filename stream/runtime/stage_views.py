"""Several stages of one process as one, for whoever supervises it."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stream.engine.plan import LAST
from stream.runtime.health import WorkerHealth


class StagesHealth:
    """As good as the worst of them.

    Args:
        stages: by name.
    """

    def __init__(self, stages: Mapping[str, WorkerHealth]) -> None:
        self._stages = {name or LAST: health for name, health in stages.items()}

    @property
    def is_alive(self) -> bool:
        """False once the loop has not turned for the limit."""
        return all(health.is_alive for health in self._stages.values())

    @property
    def is_ready(self) -> bool:
        """True if every task of every stage takes records."""
        return all(health.is_ready for health in self._stages.values())

    def sentence(self) -> str:
        """What each stage is doing, by name; one word where all do the same and nothing is to be told."""
        said = [(name, sentence) for name, health in self._stages.items() for sentence in health.sentences()]
        first = said[0][1]
        if " " not in first and all(sentence == first for _, sentence in said):
            return first
        return "; ".join(f"{name}: {sentence}" for name, sentence in said)

    def stall_sentence(self) -> str:
        """What /healthz says when the loop hangs."""
        stalled = [health.stall_sentence() for health in self._stages.values() if not health.is_alive]
        return stalled[0] if stalled else "the poll loop turns again"


class StagesRegistry(CollectorRegistry):
    """The metrics of all stages, each series with its stage as a label.

    Args:
        stages: their registries by name.
    """

    def __init__(self, stages: Mapping[str, CollectorRegistry]) -> None:
        super().__init__()
        self.register(_Stages({name or LAST: registry for name, registry in stages.items()}))


class _Stages(Collector):
    def __init__(self, stages: Mapping[str, CollectorRegistry]) -> None:
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        """Families of the same name as one."""
        families: dict[str, Metric] = {}
        for stage, registry in self._stages.items():
            for family in registry.collect():
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type, family.unit)
                )
                for sample in family.samples:
                    merged.samples.append(sample._replace(labels={**sample.labels, "stage": stage}))
        yield from families.values()


Health = WorkerHealth | StagesHealth
