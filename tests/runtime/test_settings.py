"""Settings come from defaults, one file and the environment, and each says from where."""

import os
import re
from pathlib import Path

import pytest

from stream.engine.journal import Backfill
from stream.errors import ConfigError
from stream.runtime.settings import load_settings, misspelt_variables


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to start in, without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("STREAM_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_the_environment_goes_before_the_file_and_the_file_before_defaults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value knows its origin, and the command line goes before all."""
    (folder / "stream.toml").write_text('bootstrap_servers = "file:9092"\ncommit_interval_ms = 50\nslot = "a"\n')
    monkeypatch.setenv("STREAM_COMMIT_INTERVAL_MS", "70")

    loaded = load_settings(slot="b")

    assert (loaded.values.bootstrap_servers, loaded.values.commit_interval_ms) == ("file:9092", 70)
    assert (loaded.values.slot, loaded.values.delivery) == ("b", "exactly-once")
    assert loaded.origins["bootstrap_servers"] == "stream.toml"
    assert loaded.origins["commit_interval_ms"] == "STREAM_COMMIT_INTERVAL_MS"
    assert loaded.origins["slot"] == "command line"
    assert loaded.origins["delivery"] == "default"


def test_metrics_are_served_to_this_machine_alone_unless_told(folder: Path) -> None:
    """They have no password: only the image, whose network is its own, opens them."""
    assert load_settings().values.metrics_host == "127.0.0.1"


def test_any_setting_of_librdkafka_passes_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a table of the file and from variables, for all clients or for one kind."""
    (folder / "stream.toml").write_text(
        '[librdkafka]\n"security.protocol" = "SASL_SSL"\n"enable.ssl.certificate.verification" = true\n'
    )
    monkeypatch.setenv("STREAM_LIBRDKAFKA_SASL_USERNAME", "worker")
    monkeypatch.setenv("STREAM_LIBRDKAFKA_CONSUMER_FETCH_MIN_BYTES", "10")
    monkeypatch.setenv("STREAM_REGISTRY_BASIC_AUTH_USER_INFO", "me:secret")

    values = load_settings().values

    assert values.librdkafka == {
        "security.protocol": "SASL_SSL",
        "enable.ssl.certificate.verification": "true",
        "sasl.username": "worker",
    }
    assert values.librdkafka_consumer == {"fetch.min.bytes": "10"}
    assert values.registry == {"basic.auth.user.info": "me:secret"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('bootstrap_server = "x"', "did you mean 'bootstrap_servers'"),
        ("commit_interval_ms = 'soon'", "commit_interval_ms is a whole number"),
        ('delivery = "exactly_once"', "not one of exactly-once, immediate"),
        ("slot = 3", "slot is a text"),
        ("slot = ", "is not valid TOML"),
        ("librdkafka = 5", "librdkafka is a table"),
        ('slot = ""', "slot is empty"),
        ("metrics_port = 70000", "metrics_port must be a port up to 65535"),
        ("metrics_port = -2", "metrics_port must be a port up to 65535"),
        ('snapshots = "nosuch://b/x"', "there is no kind of URL nosuch://"),
        ('snapshots = "nosuch::s3://b/x"', "there is no kind of URL nosuch://"),
        ('snapshots = "s3:/b/x"', "snapshots='s3:/b/x' is neither"),
        ('snapshots = ""', "snapshots='' is neither"),
    ],
)
def test_a_mistake_is_one_error_that_names_the_key(folder: Path, text: str, told: str) -> None:
    """Misspelt names, wrong types and values, broken files."""
    (folder / "stream.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "place", ["kafka", "folder/x", "/a/b", "C:/x", "file:/a", "file:///a", "s3://b/x", "simplecache::s3://b/x"]
)
def test_snapshots_go_to_kafka_a_path_or_a_url(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Of every kind that fsspec knows, whether its driver is installed or not: other commands need none."""
    monkeypatch.setenv("STREAM_SNAPSHOTS", place)
    assert load_settings().values.snapshots == place


@pytest.mark.parametrize("port", [-1, 0, 65535])
def test_any_port_and_none_are_ports_for_metrics(folder: Path, port: int) -> None:
    """-1 is none, 0 any free one."""
    assert load_settings(metrics_port=port).values.metrics_port == port


def test_misspelt_variables_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and options of commands by the name that is near; what others set for themselves is not."""
    for name in ("COMIT_INTERVAL_MS", "KAFKA_BOOTSTRAP_SERVERS", "CONTROL_TOKNS"):
        monkeypatch.setenv(f"STREAM_{name}", "1")
    others = ("SLOT", "CONFIG", "TEST_APP", "APP", "APP_FOLDER", "PORT", "SERVICE_HOST", "PORT_9464_TCP_ADDR")
    passed = ("LIBRDKAFKA_SASL_USERNAME", "LIBRDKAFKA_CONSUMER_FETCH_MIN_BYTES", "REGISTRY_TIMEOUT", "REGISTRY_URL")
    for name in others + passed:
        monkeypatch.setenv(f"STREAM_{name}", "1")
    assert misspelt_variables() == [
        "STREAM_COMIT_INTERVAL_MS is no setting; did you mean STREAM_COMMIT_INTERVAL_MS?",
        "STREAM_CONTROL_TOKNS is no setting; did you mean STREAM_CONTROL_TOKENS?",
        "STREAM_KAFKA_BOOTSTRAP_SERVERS is no setting; did you mean STREAM_BOOTSTRAP_SERVERS?",
    ]


def test_topics_are_named_after_prefix_and_app_unless_set(folder: Path) -> None:
    """Every internal name can be changed, and the group and transactional id follow the prefix."""
    values = load_settings(topic_prefix="test-", alerts_topic="all-alerts", slot="2").values

    topics, kafka = values.topics("fraud"), values.kafka("fraud")

    assert (topics.predictions, topics.alerts) == ("test-fraud.predictions", "all-alerts")
    assert (kafka.group_id, kafka.transactional_id) == ("test-fraud", "test-fraud-2")


def test_a_stage_has_its_own_group_id_journal_and_snapshots(folder: Path) -> None:
    """Whether names are set or not; what an app writes for others is written by whichever stage has it."""
    plain = load_settings(topic_prefix="eu.").values
    named = load_settings(journal_topic="j", snapshots_topic="s", group_id="g", alerts_topic="all-alerts").values

    entry, last = plain.topics("fraud", "entry"), plain.topics("fraud")
    assert (entry.journal, entry.snapshots) == ("eu.fraud.entry.journal", "eu.fraud.entry.snapshots")
    assert (last.journal, entry.predictions, entry.alerts) == ("eu.fraud.journal", last.predictions, last.alerts)
    assert (named.topics("fraud", "entry").journal, named.topics("fraud", "entry").snapshots) == ("j.entry", "s.entry")
    assert (named.topics("fraud").journal, named.topics("fraud", "entry").alerts) == ("j", "all-alerts")

    worker, of_named = plain.kafka("fraud", "by-shop"), named.kafka("fraud", "by-shop")
    assert (worker.group_id, worker.transactional_id) == ("eu.fraud.by-shop", "eu.fraud.by-shop-0")
    assert (of_named.group_id, of_named.transactional_id) == ("g.by-shop", "fraud.by-shop-0")


@pytest.mark.parametrize(
    ("begin_from", "emit_from", "backfill"),
    [
        ("", "", None),
        ("beginning", "", Backfill(None, 0)),
        ("beginning", "2025-02-01", Backfill(None, 1_738_368_000_000)),
        ("2025-01-01T01:00:00+01:00", "2025-02-01T00:00:00Z", Backfill(1_735_689_600_000, 1_738_368_000_000)),
    ],
)
def test_a_backfill_is_told_by_times(folder: Path, begin_from: str, emit_from: str, backfill: Backfill | None) -> None:
    """ISO 8601, UTC where nothing is said; all outputs are written where no time is given for them."""
    assert load_settings(begin_from=begin_from, emit_from=emit_from).values.backfill == backfill


def test_a_backfill_of_a_file_is_told_by_its_path(folder: Path) -> None:
    """It is loaded before anything goes by it; `beginning` and times are no files, whatever lies there."""
    for name in ("orders.csv", "beginning", "2025-01-01"):
        (folder / name).touch()

    values = load_settings(begin_from="orders.csv", emit_from="2025-02-01").values
    assert (values.begin_file, values.begin_ms) == (Path("orders.csv"), None)
    with pytest.raises(ConfigError, match="the file is not loaded"):
        _ = values.backfill
    assert load_settings(begin_from="beginning").values.begin_file is None
    assert load_settings(begin_from="2025-01-01").values.begin_file is None
    assert load_settings(begin_from="./2025-01-01").values.begin_file == Path("2025-01-01")


def test_the_loads_of_an_app_share_an_id_and_a_group_whatever_the_slot(folder: Path) -> None:
    """Neither is a worker's; the slot that would have that id is refused."""
    kafka = load_settings(topic_prefix="eu.", slot="fraud-2").values.kafka_of_load("fraud")
    assert (kafka.transactional_id, kafka.group_id) == ("eu.fraud-backfill", "eu.fraud.backfill")
    with pytest.raises(ConfigError, match="choose another"):
        load_settings(slot="backfill")


@pytest.mark.parametrize(
    ("begin_from", "emit_from", "told"),
    [
        ("", "2025-02-01", "give both"),
        ("last year", "", "begin_from='last year' is neither 'beginning', nor an ISO 8601 time (2026-01-31, or "),
        ("orders.csv", "", "nor a file that is there"),
        ("beginning", "soon", "emit_from='soon' is no time"),
    ],
)
def test_a_backfill_of_no_beginning_is_refused(folder: Path, begin_from: str, emit_from: str, told: str) -> None:
    """Before anything is asked of a broker."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_settings(begin_from=begin_from, emit_from=emit_from)
