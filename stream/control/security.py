"""The security that librdkafka's settings name, as Faust's credentials: what is set up for the workers is enough."""

import ssl
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import faust

from stream.errors import ConfigError

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MAPPED = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
)


def credentials(kafka: Mapping[str, str]) -> Any:
    """Faust's credentials for librdkafka's settings of security; None for plaintext.

    Settings that are not about security are not looked at.

    Raises ConfigError for a protocol, mechanism or setting that Faust does not offer: connecting without it would be
    less secure than what was asked for, or fail for a reason that nobody sees.
    """
    _check_mapped(kafka)
    protocol = _one_of("security.protocol", kafka.get("security.protocol", "plaintext").upper(), _PROTOCOLS)
    if protocol == "PLAINTEXT":
        return None
    context = _ssl_context(kafka) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    # librdkafka's own default is GSSAPI; both names are librdkafka's.
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "GSSAPI")).upper()
    _one_of("sasl.mechanism", mechanism, _MECHANISMS)
    for name in ("sasl.username", "sasl.password"):
        if not kafka.get(name):
            raise ConfigError(f"{name} is not set, and {protocol} with {mechanism} needs it")
    return faust.SASLCredentials(
        username=kafka["sasl.username"], password=kafka["sasl.password"], ssl_context=context, mechanism=mechanism
    )


def _check_mapped(kafka: Mapping[str, str]) -> None:
    unknown = sorted(
        name for name in kafka if name not in _MAPPED and (name.startswith(("ssl.", "sasl.")) or ".ssl." in name)
    )
    if unknown:
        near = get_close_matches(unknown[0], _MAPPED, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{unknown[0]} is not known to the control plane: {hint}known are {', '.join(_MAPPED)}")


def _one_of(name: str, value: str, offered: tuple[str, ...]) -> str:
    if value not in offered:
        raise ConfigError(f"{name}={value} is not offered by the control plane: use {', '.join(offered)}")
    return value


def _ssl_context(kafka: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"), cadata=kafka.get("ssl.ca.pem"))
        certificate = kafka.get("ssl.certificate.location")
        if certificate:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, kafka.get("ssl.key.location"), kafka.get("ssl.key.password", ""))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = [f"{name}={kafka[name]}" for name in kafka if name.startswith("ssl.") and name.endswith("location")]
        raise ConfigError(f"TLS cannot be set up with {', '.join(files) or 'ssl.ca.pem'}: {error}") from error
    is_verified = kafka.get("enable.ssl.certificate.verification", "true").lower() == "true"
    if not is_verified or kafka.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if not is_verified:
        context.verify_mode = ssl.CERT_NONE
    return context
