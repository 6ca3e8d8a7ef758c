"""`stream run`: a worker, or several."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import structlog
import typer

from stream.cli.guard import Guard
from stream.errors import ConfigError
from stream.runtime import logs


def entry(
    target: str = typer.Argument(metavar="APP", help="module:app or path/to/file.py:app"),
    workers: int = typer.Option(1, min=1, help="Processes; each takes a share of the partitions."),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
    slot: str | None = typer.Option(None, help="This worker's name among those of the app; stable over restarts."),
    delivery: str | None = typer.Option(None, help="exactly-once or immediate."),
    begin: str | None = typer.Option(
        None,
        "--from",
        metavar="beginning|TIME|FILE",
        help="Backfill: where tasks that have not begun start reading; a file is loaded into the event topic first.",
    ),
    emit_from: str | None = typer.Option(
        None,
        help="Backfill: write outputs of records from this time on; earlier ones are learned from alone. With a file: "
        "from behind its last row, unless given.",
    ),
    metrics_port: int | None = typer.Option(None, help="Port of /metrics, /healthz, /readyz; 0: any, -1: none."),
) -> None:
    """Run a worker: it reads events, predicts, learns, and commits all of it together. SIGTERM or Ctrl-C stops it.

    A stop commits, takes a last snapshot and exits with 0; a second signal ends the worker at once, which costs nothing
    that is committed.

    --from and --emit-from learn from the past at full speed without emitting it: predictions, alerts and dead letters
    of records with earlier timestamps are not written. It is journaled: a restart goes on with it, whether it is told
    again or not. A task that has begun otherwise is refused (`stream state reset`).

    --from FILE (CSV, JSON lines, Parquet, Arrow) first sends the file's rows to the event topic, which must have no
    records yet, each exactly once and with its own time, whatever interrupts it and however many workers are told the
    same. Columns are named as the schema's fields. Labels go to their topic before: `stream produce FILE --time`.

    Example: stream run fraud:app --workers 2

    Example: stream run fraud:app --from beginning --emit-from 2026-01-31T12:00:00Z

    Example: stream run fraud:app --from payments-2025.parquet
    """
    from stream.runtime.loading import load_app
    from stream.runtime.settings import load_settings, misspelt_variables

    logs.configure_logs()  # so that mistakes in the settings, which say how much is logged, are in the log too
    told = {"delivery": delivery, "begin_from": begin, "emit_from": emit_from}
    settings = load_settings(config, slot=slot, metrics_port=metrics_port, **told).values
    if workers > 1 and slot is not None:
        raise ConfigError("--slot names one worker; with --workers the slots are 0, 1, 2, ...")
    logs.configure_logs(settings.log_level)
    if settings.begin_file is not None:
        from stream.cli.backfill.loading import with_file_loaded
        from stream.runtime.running import stages_on_cluster

        settings = with_file_loaded(stages_on_cluster(load_app(target), settings), settings, _say)
        begin, emit_from = settings.begin_from, settings.emit_from
    if workers > 1:
        options = ["--config", str(config)] if config else []
        for option, value in (("--delivery", delivery), ("--from", begin), ("--emit-from", emit_from)):
            options += [option, value] if value else []
        raise typer.Exit(_run_several(workers, [target, *options], settings.metrics_port))
    for text in misspelt_variables():
        structlog.get_logger("stream.run").warning(text)
    # Imported behind the settings, whose mistakes are then told at once: numba takes a second.
    from stream.runtime.running import run_worker, stages_on_cluster

    run_worker(stages_on_cluster(load_app(target), settings), settings, _say)


def _say(what: str) -> None:
    """Steps of the start, as a person or a program reads them."""
    if logs.are_json():
        structlog.get_logger("stream.run").info("starting", step=what)
    else:
        print(f"stream run: {what}", file=sys.stderr, flush=True)


def _run_several(workers: int, arguments: list[str], metrics_port: int) -> int:
    """One process a worker, each in a slot of its own; one that ends takes the others along, and so does this one."""
    processes, guards = [], []
    for number in range(workers):
        port = metrics_port + number if metrics_port > 0 else metrics_port
        own = ["--slot", str(number), "--metrics-port", str(port)]
        processes.append(subprocess.Popen([sys.executable, "-m", "stream.cli.main", "run", *arguments, *own]))
        guards.append(Guard([processes[-1].pid], signal.SIGTERM))

    is_stopping = False

    def pass_on(number: int, _: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        for process in processes:
            process.send_signal(number)

    def outlive(*_: object) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, pass_on)
    # Ctrl-C reaches the whole process group by itself: this process only has to outlive it.
    signal.signal(signal.SIGINT, outlive)
    first, status = _first_to_end([process.pid for process in processes])
    others = [process for process in processes if process.pid != first]
    if not is_stopping:
        slot = [process.pid for process in processes].index(first)
        structlog.get_logger("stream.run").error(
            "a worker's process has ended; the others stop", slot=slot, pid=first, status=status
        )
    for process in others:
        if not is_stopping:  # a second signal would end a worker in the middle of its drain
            process.terminate()
    worst = max(abs(status), *(abs(process.wait()) for process in others))
    for guard in guards:
        guard.release()
    return worst


def _first_to_end(pids: list[int]) -> tuple[int, int]:
    """Process id and exit status; the guards are children too, and not meant."""
    while True:
        pid, status = os.wait()
        if pid in pids:
            return pid, os.waitstatus_to_exitcode(status)
