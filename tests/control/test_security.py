"""The control plane connects as securely as the workers, by the same settings, or not at all."""

import ssl
from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from stream.control.security import credentials
from stream.errors import ConfigError
from tests.runtime.certificates import write_certificates

SASL = {"security.protocol": "sasl_plaintext", "sasl.username": "worker", "sasl.password": "secret"}


def test_without_security_there_are_no_credentials() -> None:
    """Plaintext is the default, and what is not about security is not looked at."""
    assert credentials({}) is None
    assert credentials({"security.protocol": "plaintext", "socket.timeout.ms": "5000"}) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_sasl_reaches_the_client(name: str, mechanism: str) -> None:
    """Protocol, mechanism, user and password are those that librdkafka was given, by either of its names."""
    auth = credentials_to_aiokafka_auth(credentials({**SASL, name: mechanism}))

    assert auth["security_protocol"] == "SASL_PLAINTEXT"
    assert auth["sasl_mechanism"] == mechanism
    assert (auth["sasl_plain_username"], auth["sasl_plain_password"]) == ("worker", "secret")
    assert auth["ssl_context"] is None


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_verifies_the_broker_by_the_authority_that_was_named(protocol: str, tmp_path: Path) -> None:
    """The context knows the certificate of the file and no other, and checks certificate and host name."""
    authority, _ = write_certificates(tmp_path)
    kafka = {**SASL, "sasl.mechanism": "PLAIN", "security.protocol": protocol, "ssl.ca.location": str(authority)}
    auth = credentials_to_aiokafka_auth(credentials(kafka))

    assert auth["security_protocol"] == protocol
    (known,) = auth["ssl_context"].get_ca_certs()
    assert known["subject"] == ((("commonName", "authority"),),)
    assert (auth["ssl_context"].verify_mode, auth["ssl_context"].check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("setting", "value", "checks"),
    [
        ("enable.ssl.certificate.verification", "false", (ssl.CERT_NONE, False)),
        ("ssl.endpoint.identification.algorithm", "none", (ssl.CERT_REQUIRED, False)),
    ],
)
def test_a_check_of_tls_is_left_out_only_where_that_was_asked_for(
    setting: str, value: str, checks: tuple[ssl.VerifyMode, bool]
) -> None:
    """As librdkafka does with the same setting."""
    context = credentials({"security.protocol": "ssl", setting: value}).context

    assert (context.verify_mode, context.check_hostname) == checks


@pytest.mark.parametrize(
    ("kafka", "sentence"),
    [
        ({"security.protocol": "TLS"}, "security.protocol=TLS is not offered by the control plane: use PLAINTEXT, SSL"),
        (SASL, "sasl.mechanism=GSSAPI is not offered by the control plane: use PLAIN, SCRAM"),
        ({**SASL, "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism=OAUTHBEARER is not offered"),
        ({**SASL, "sasl.mechanism": "PLAIN", "sasl.password": ""}, "sasl.password is not set, and SASL_PLAINTEXT with"),
        ({"security.protocol": "ssl", "ssl.keystore.location": "a.p12"}, "ssl.keystore.location is not known to the"),
        ({"sasl.usernam": "worker"}, "did you mean sasl.username"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/none.pem"}, "TLS cannot be set up with ssl.ca.location=/n"),
        ({"security.protocol": "ssl", "ssl.ca.pem": "nonsense"}, "TLS cannot be set up with ssl.ca.pem"),
    ],
)
def test_what_cannot_be_had_is_refused(kafka: dict[str, str], sentence: str) -> None:
    """Each setting that would be left out silently is named, with what may be set instead."""
    with pytest.raises(ConfigError) as refused:
        credentials(kafka)
    assert sentence in str(refused.value)


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    """The error says which file and setting, and nobody is asked for a password."""
    file = tmp_path / "client.pem"
    file.write_text("nonsense")
    with pytest.raises(ConfigError, match=rf"TLS cannot be set up with ssl.certificate.location={file}"):
        credentials({"security.protocol": "SSL", "ssl.certificate.location": str(file)})
