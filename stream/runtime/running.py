"""The composition root: a worker's process, which runs every stage of its app."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from stream import kernels
from stream.avro import Framing, header
from stream.engine.output_format import OutputFormat
from stream.engine.plan import LAST, Plan
from stream.kafka.reader import Reader
from stream.resources import schema_text
from stream.runtime import interpreter
from stream.runtime.cluster_checks import check_cluster
from stream.runtime.free_memory import FreeMemory
from stream.runtime.health import WorkerHealth
from stream.runtime.loading import LoadedApp
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.metrics_server import MetricsServer
from stream.runtime.settings import Settings
from stream.runtime.stage_errors import errors_named, named
from stream.runtime.stage_views import StagesHealth, StagesRegistry
from stream.runtime.stopping import StopSignals
from stream.runtime.watchdog import Watchdog
from stream.runtime.worker import WorkerLoop, compile_kernels, input_topics, use_kernel_cache

_log = structlog.get_logger("stream.worker")


def stages_on_cluster(app: LoadedApp, settings: Settings) -> tuple[Plan, ...]:
    """The app's stages: several where it has features by another key and its event topic several partitions (rule 34).

    Raises:
        ConfigError: there is no event topic.
        RetriableError: no broker answers.
    """
    if not app.may_have_stages:
        return (app.plan,)
    with Reader(settings.kafka(app.plan.app)) as reader:
        partitions = len(reader.partitions(app.plan.events.topic))
    return app.stages(partitions, settings.topic_prefix)


def run_worker(plans: Sequence[Plan], settings: Settings, on_progress: Callable[[str], None]) -> None:
    """Run a worker until SIGTERM or Ctrl-C; it then drains, commits, takes a last snapshot and leaves.

    Args:
        plans: of the app's stages, the last one last.
        settings: of this worker.
        on_progress: hears what is happening before the first record (compilation, registration, joining).

    Raises:
        StreamError: why the worker could not start or go on; the text says what to do.
    """
    began = time.perf_counter()
    use_kernel_cache(settings)
    healths = [WorkerHealth(settings.max_poll_interval_ms / 1000) for _ in plans]
    metrics = [WorkerMetrics(plan.name, [model.name for model in plan.models], _signals(plan)) for plan in plans]
    names = _names(plans)
    health = StagesHealth(dict(zip(names, healths, strict=True))) if len(plans) > 1 else healths[0]
    registries = dict(zip(names, (each.registry for each in metrics), strict=True))
    registry = StagesRegistry(registries) if len(plans) > 1 else metrics[0].registry
    server = None
    if settings.metrics_port >= 0:
        server = MetricsServer(settings.metrics_host, settings.metrics_port, registry, health)
        _log.info("metrics", port=server.port)
    try:
        formats = prepare(plans, settings, on_progress)
        metrics[-1].record_compile(kernels.compile_seconds())
        made = [
            WorkerLoop(plan, settings, output_format, own_health, own_metrics, len(plans))
            for plan, output_format, own_health, own_metrics in zip(plans, formats, healths, metrics, strict=True)
        ]
        loops = dict(zip(names, made, strict=True))
        memory = FreeMemory(lambda: all(loop.keeps_up for loop in made))
        with StopSignals(lambda: request_stop(made)), Watchdog(health), memory:
            on_progress("joining the group")
            run_loops(loops, lambda: _started(plans[-1].app, began))
    finally:
        if server is not None:
            server.close()


def prepare(plans: Sequence[Plan], settings: Settings, on_progress: Callable[[str], None]) -> tuple[OutputFormat, ...]:
    """All that comes before the group is joined: look whether it can work here at all, then compile."""
    on_progress("looking for topics and registry")
    for name, plan in zip(_names(plans), plans, strict=True):
        with _as_stage(name):
            check_cluster(plan, input_topics(plan, settings), settings)
    formats = register_outputs(plans, settings)
    on_progress("compiling kernels (none if the cache is warm)")
    for plan, output_format in zip(plans, formats, strict=True):
        compile_kernels(plan, output_format)
    return formats


def register_outputs(plans: Sequence[Plan], settings: Settings) -> tuple[OutputFormat, ...]:
    """Register the schemas of predictions and alerts, unless they are written as JSON."""
    kafka = settings.kafka(plans[-1].app)
    headers: tuple[bytes | None, bytes | None] = None, None
    if settings.output_format != "json":
        from stream.kafka.registry import Registry  # a fifth of a second, for apps with a registry alone

        written = settings.topics(plans[-1].app)
        with Registry(kafka) as registry:
            prediction, alert = (
                registry.register(f"{topic}-value", schema_text(subject))
                for topic, subject in ((written.predictions, "prediction"), (written.alerts, "alert"))
            )
        headers = header(Framing.CONFLUENT, prediction), header(Framing.CONFLUENT, alert)
    return tuple(
        OutputFormat(settings.topics(plan.app, plan.stage), *headers, kafka.max_message_bytes) for plan in plans
    )


def request_stop(loops: Iterable[WorkerLoop]) -> None:
    """Stop all stages; may be called from a signal handler."""
    for loop in loops:
        loop.request_stop()


def _started(app: str, began: float) -> None:
    interpreter.settle()
    _log.info("started", app=app, seconds=round(time.perf_counter() - began, 2))


def run_loops(loops: Mapping[str, WorkerLoop], on_start: Callable[[], None] = lambda: None) -> None:
    """Start the stages and let them take turns until all have stopped; where one stops, the others are asked to.

    Args:
        loops: by the names of their stages, which their log lines have too; "" where there is one alone.
        on_start: called once all are started.

    Raises:
        Exception: why one did not start, or stopped that was not asked to; those that had started are closed.
    """
    started: dict[str, WorkerLoop] = {}
    has_ended = False
    try:
        for name, loop in loops.items():
            with _as_stage(name):
                loop.start()
                started[name] = loop
        on_start()
        while running := {name: loop for name, loop in loops.items() if not loop.is_over}:
            if len(running) < len(loops) and not has_ended:
                has_ended = True
                request_stop(running.values())
            for name, loop in running.items():
                with _as_stage(name):
                    loop.turn()
    finally:
        for name, loop in started.items():
            with _as_stage(name):
                loop.close()
    errors = [named(loop.error, name) for name, loop in loops.items() if loop.error is not None]
    if errors:
        raise errors[0]
    _log.info("stopped: all that was handled is committed")


@contextmanager
def _as_stage(stage: str) -> Iterator[None]:
    """Log lines and errors say of which stage they are, where there are several: "" where there is one."""
    with errors_named(stage), structlog.contextvars.bound_contextvars(**({"stage": stage} if stage else {})):
        yield


def _names(plans: Sequence[Plan]) -> list[str]:
    """Of stages, as metrics, logs and errors call them; "" for one alone."""
    return [plan.stage or LAST for plan in plans] if len(plans) > 1 else [""]


def _signals(plan: Plan) -> list[str]:
    return [signal.name for monitor in plan.monitors for signal in monitor.signals]
