"""A certificate authority of one's own, and a broker's certificate signed by it, for 127.0.0.1."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_LASTS = datetime.timedelta(days=1)


def write_certificates(folder: Path) -> tuple[Path, Path]:
    """Make both.

    Returns:
        The authority's certificate, which clients trust; and the broker's key with its certificates, in one PEM file.
    """
    authority_key, broker_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _draft("authority", "authority", authority_key)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    trusted = authority.sign(authority_key, hashes.SHA256())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    broker = _draft("broker", "authority", broker_key).add_extension(address, critical=False)
    signed = broker.sign(authority_key, hashes.SHA256())

    key = broker_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ca_file, broker_file = folder / "authority.pem", folder / "broker.pem"
    ca_file.write_bytes(trusted.public_bytes(Encoding.PEM))
    broker_file.write_bytes(key + signed.public_bytes(Encoding.PEM) + trusted.public_bytes(Encoding.PEM))
    return ca_file, broker_file


def _draft(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LASTS)
        .not_valid_after(now + _LASTS)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
