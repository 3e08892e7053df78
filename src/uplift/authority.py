"""The controller's own CA for its registries: made once, kept beside the inventory."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from uplift.secrets.files import FOLDER, read_private, write_once
from uplift.spec.errors import UsageError
from uplift.spec.registry.tls import LIFETIME, chain, key_fault
from uplift.spec.secret import Secret

FILE = f"{FOLDER}/registry-ca.pem"
"""Certificate and private key together, so that they are there both or not at all."""

_YEARS = timedelta(days=3650)
_SKEW = timedelta(hours=1)
"""Clocks of hosts may be behind the controller's."""


@dataclass(frozen=True)
class Authority:
    """A CA.

    Args:
        certificate: PEM; hosts get it.
        key: PEM; nobody gets it.
    """

    certificate: str
    key: Secret

    def sign(self, names: Iterable[str], now: datetime) -> tuple[str, Secret]:
        """Return a new certificate for a server and its private key, both PEM.

        Args:
            names: and addresses that it is for.
            now: the time, with its zone.
        """
        ca, signer = chain(self.certificate)[0], _loaded(self.key)
        key = ec.generate_private_key(ec.SECP256R1())
        listed = list(names)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = (
            _builder(listed[0], ca.subject, key.public_key(), now, LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([*map(_general, listed)]), critical=False)
            .add_extension(usage, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode(), Secret(_pem(key))


def own(project: Path | None = None) -> Authority:
    """Return the CA of a project, made when there is none.

    Args:
        project: its folder; the current one when left out.

    Raises:
        UsageError: the file is damaged, or the CA ends before a certificate would.
        SecretsError: others may read the file.
    """
    path = (project or Path.cwd()) / FILE
    try:
        text = read_private(path).decode()
    except FileNotFoundError:
        text = write_once(path, _made(datetime.now(UTC)).encode()).decode()
    certificate, mark, key = text.partition("-----BEGIN PRIVATE KEY-----")
    found = Authority(certificate, Secret(f"{mark}{key}"))
    try:
        wrong = key_fault(certificate, found.key.reveal())
        end = chain(certificate)[0].not_valid_after_utc
    except ValueError as error:
        raise UsageError(f"{path} {error}: {_REMEDY}") from None
    if wrong:
        raise UsageError(f"{path}: the key {wrong}: {_REMEDY}")
    if end - datetime.now(UTC) < LIFETIME:
        raise UsageError(f"the CA in {path} ends on {end:%Y-%m-%d}: {_REMEDY}")
    return found


_REMEDY = (
    "put back a copy of the file, or remove it; then deploys/site.py on every host that uses the "
    "registry makes a new CA, and hosts trust it"
)


def _made(now: datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two projects' CAs must not have one name: clients would look for the signer under it.
    common = f"uplift registry CA {secrets.token_hex(4)}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    certificate = (
        _builder(common, subject, key.public_key(), now, _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return certificate.public_bytes(Encoding.PEM).decode() + _pem(key)


def _builder(
    common: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    # A common name has 64 signs at most; clients look at the alternative names alone.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])
    return (
        x509.CertificateBuilder(issuer, subject, key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _loaded(key: Secret) -> ec.EllipticCurvePrivateKey:
    found = load_pem_private_key(key.reveal().encode(), password=None)
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    return found


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
