"""`stream control APP`: the control plane of an app, where operators see its alerts and act on them."""

import getpass
from pathlib import Path

import platformdirs
import structlog
import typer

from stream.control.settings import ControlSettings, control_prefix
from stream.control.tokens import Tokens, load_or_create, parse_tokens
from stream.errors import ConfigError

log = structlog.get_logger("stream.control")


def default_tokens_file() -> Path:
    """Where the operators' tokens of this machine are."""
    return platformdirs.user_state_path("stream-learn") / "control-tokens"


def entry(
    target: str = typer.Argument(metavar="APP", help="MODULE:APP, as for `stream run`."),
    host: str = typer.Option("127.0.0.1", envvar="STREAM_CONTROL_HOST", help="Address to listen on."),
    port: int = typer.Option(8600, envvar="STREAM_CONTROL_PORT", help="Port to listen on."),
    url: str = typer.Option(
        "", envvar="STREAM_CONTROL_ADVERTISED_URL", help="By which the app's other control planes reach this one."
    ),
    tokens_file: Path | None = typer.Option(
        None, envvar="STREAM_CONTROL_TOKENS_FILE", help="NAME TOKEN a line, mode 600; made with one for you if missing."
    ),
    tokens: str = typer.Option(
        "", envvar="STREAM_CONTROL_TOKENS", help="NAME=TOKEN,NAME=TOKEN, instead of a file.", show_default=False
    ),
    replication: int = typer.Option(
        1, envvar="STREAM_CONTROL_REPLICATION", help="Replication of the topics it creates: 3 in production."
    ),
    keep_resolved_days: float = typer.Option(
        30.0,
        envvar="STREAM_CONTROL_KEEP_RESOLVED_DAYS",
        min=0.0,
        help="How long an alert is known after it was resolved; open ones stay.",
    ),
    config: Path | None = typer.Option(None, envvar="STREAM_CONFIG", help="Settings file; stream.toml if it is here."),
) -> None:
    """Run the control plane of an app: it keeps what operators did about each alert, and answers `stream alerts`.

    Workers do not need it. Stopped or killed and started again, it has lost nothing.

    Example: stream control fraud:app --port 8600
    """
    # Faust takes half a second to import: only here.
    from stream.cli.connection import registry_schemas
    from stream.control.service import run_control
    from stream.runtime.loading import load_app
    from stream.runtime.logs import configure_logs
    from stream.runtime.settings import load_settings

    configure_logs()  # so that mistakes in the settings, which say how much is logged, are in the log too
    chosen = load_settings(config).values
    configure_logs(chosen.log_level)
    app = load_app(target).app.name
    control = ControlSettings(
        app=app,
        alerts_topic=chosen.topics(app).alerts,
        kafka={**chosen.librdkafka, "bootstrap.servers": chosen.bootstrap_servers},
        tokens=_tokens(tokens, tokens_file),
        data_folder=platformdirs.user_cache_path("stream-learn") / "control" / app,
        host=host,
        port=port,
        url=url,
        keep_resolved_s=keep_resolved_days * 86_400,
        replication=replication,
        topic_prefix=control_prefix(app, chosen.topic_prefix),
    )
    log.info(
        "control plane",
        app=app,
        alerts=control.alerts_topic,
        url=control.own_url,
        operators=list(control.tokens.by_name),
    )
    with registry_schemas(chosen.kafka(app)) as fetch:
        run_control(control, fetch)


def _tokens(text: str, file: Path | None) -> Tokens:
    if text and file:
        raise ConfigError("STREAM_CONTROL_TOKENS and STREAM_CONTROL_TOKENS_FILE are both set: use one of them")
    if text:
        return parse_tokens(text, "STREAM_CONTROL_TOKENS")
    return load_or_create(file or default_tokens_file(), getpass.getuser())
