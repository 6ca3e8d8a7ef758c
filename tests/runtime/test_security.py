"""A worker that reaches its broker by TLS and a password alone, and a registry that wants one too."""

import base64
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from stream.cli.broker.local import LocalBroker
from stream.cli.broker.ports import reserve_free_port
from stream.config import KafkaSettings
from stream.errors import ConfigError
from stream.kafka.admin import Admin
from stream.kafka.reader import Reader
from tests.runtime.certificates import write_certificates
from tests.runtime.conftest import Deploy
from tests.runtime.registry_proxy import RegistryProxy
from tests.runtime.truth import check_journal, check_outputs, check_states


class Secured:
    """A broker with a listener for TLS and SASL beside the plain one, by which the test looks at it."""

    def __init__(self, folder: Path) -> None:
        self.authority, keys = write_certificates(folder)
        plain, controller, secured = free_port(), free_port(), free_port()
        settings = {
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},"
            f"SECURED://127.0.0.1:{secured}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SECURED://127.0.0.1:{secured}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                'username="admin" password="admin-secret" user_worker="worker-secret";'
            ),
        }
        self.broker = LocalBroker(folder / "kafka", kafka_port=plain, settings=settings)
        self.servers = f"127.0.0.1:{secured}"

    def settings(self) -> dict[str, str]:
        """What a worker needs to be let in."""
        return {
            "bootstrap_servers": self.servers,
            "librdkafka_security_protocol": "SASL_SSL",
            "librdkafka_sasl_mechanism": "PLAIN",
            "librdkafka_sasl_username": "worker",
            "librdkafka_sasl_password": "worker-secret",
            "librdkafka_ssl_ca_location": str(self.authority),
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One for this module."""
    one = Secured(tmp_path_factory.mktemp("secured"))
    with one.broker:
        yield one


def free_port() -> int:
    """A port that nobody has."""
    reserved = reserve_free_port()
    reserved.release()
    return reserved.number


@pytest.mark.kafka
def test_every_connection_of_a_worker_is_encrypted_and_has_its_password(deploy: Deploy, secured: Secured) -> None:
    """Members, readers, producers inside and outside the transaction, snapshots, admins, the registry: a whole run."""
    app = deploy(broker=secured.broker, delivery="immediate", snapshot_interval_s="1", group_protocol="auto")
    app.traffic.send(500)
    wanted = "Basic " + base64.b64encode(b"worker:registry-secret").decode()
    with RegistryProxy(secured.broker.registry_url, authorization=wanted) as registry:
        settings = {"registry_url": registry.url, "registry_basic_auth_user_info": "worker:registry-secret"}
        worker = app.start(group_instance_id="", **settings, **secured.settings())
        app.wait_until_handled()
        app.stop(worker)

    check_outputs(app)
    check_journal(app)
    check_states(app)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sasl.password": "wrong"}, "Invalid username or password"),
        ({"ssl.ca.location": certifi.where()}, "certificate verify failed"),
    ],
)
def test_a_broker_that_lets_nobody_in_is_one_clear_error(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], said: str
) -> None:
    """It is there and says no, or is not who it says: what workers and commands ask first tells which."""
    monkeypatch.setattr("stream.kafka.reader._REQUEST_S", 2.0)
    security = {
        name.removeprefix("librdkafka_").replace("_", "."): value
        for name, value in secured.settings().items()
        if name != "bootstrap_servers"
    }
    settings = KafkaSettings("group", "id", secured.servers, librdkafka={**security, **wrong})
    expected = f"the broker at {secured.servers} does not let this client in: .*({said}).*Check security.protocol"
    with Reader(settings) as reader, pytest.raises(ConfigError, match=expected):
        reader.partitions("payments")
    with pytest.raises(ConfigError, match=expected):
        Admin(settings, timeout_s=2.0).brokers()
