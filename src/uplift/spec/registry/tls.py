"""A server's certificate and key: whether they belong together and may be used."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

LIFETIME = timedelta(days=397)
"""Of a certificate that the controller signs: the longest that clients take from public CAs."""

RENEWED = timedelta(days=90)
"""Before its end such a certificate is replaced by the next run."""


def chain(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, the server's own first.

    Args:
        text: of the file.

    Raises:
        ValueError: says why it is of no use.
    """
    if "PRIVATE KEY-----" in text:
        msg = "holds a private key: list the certificate alone, and the key under key or key_file"
        raise ValueError(msg)
    if "-----BEGIN CERTIFICATE-----" not in text:
        msg = "is no PEM certificate (-----BEGIN CERTIFICATE-----)"
        raise ValueError(msg)
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        msg = "holds a certificate that is damaged"
        raise ValueError(msg) from None


def fault(text: str, names: Iterable[str], now: datetime) -> str | None:
    """Return why a server cannot use a certificate, if it cannot.

    Args:
        text: PEM, the server's own certificate first.
        names: under which clients reach it.
        now: the time, with its zone.
    """
    try:
        own = chain(text)[0]
        has = sans(own)
    except ValueError as error:
        return str(error)
    if own.not_valid_after_utc <= now:
        return f"expired on {own.not_valid_after_utc:%Y-%m-%d}"
    if own.not_valid_before_utc > now:
        return f"is not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    missing = [name for name in names if not _covered(name, has)]
    if missing:
        there = ", ".join(sorted(has)) or "none"
        return f"is not for {', '.join(missing)} (its names: {there})"
    return None


def key_fault(text: str, key: str) -> str | None:
    """Return why a key is not that of a certificate, if it is not; never shows any of it.

    Args:
        text: PEM, the server's own certificate first.
        key: the private key, PEM.
    """
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return "is encrypted with a passphrase, which the server cannot ask for"
    except (ValueError, UnsupportedAlgorithm):
        return "is no private key in PEM"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != chain(text)[0].public_key().public_bytes(*form):
        return "does not fit the certificate: it is the key of another one"
    return None


def renewal(text: str, key: str, names: Iterable[str], ca: str, now: datetime) -> str | None:
    """Return why the controller must sign a new certificate, if it must.

    Args:
        text: what the host has, PEM.
        key: its private key.
        names: that it shall have, no more and no less.
        ca: the controller's CA, PEM.
        now: the time, with its zone.
    """
    if not text and not key:
        return "made"
    wanted = set(names)
    if reason := fault(text, wanted, now) or key_fault(text, key):
        return reason
    own, signer = chain(text)[0], chain(ca)[0]
    if sans(own) != wanted:
        return f"has other names: {', '.join(sorted(sans(own)))}"
    try:
        own.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return "is not signed by this controller's CA"
    if own.not_valid_after_utc - now < RENEWED:
        return f"ends on {own.not_valid_after_utc:%Y-%m-%d}"
    return None


def sans(certificate: x509.Certificate) -> set[str]:
    """Return the names and addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = found.get_values_for_type(x509.IPAddress)
    return {*found.get_values_for_type(x509.DNSName), *map(str, addresses)}


def _covered(name: str, has: set[str]) -> bool:
    if name in has:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"*.{name.partition('.')[2]}" in has
    return False
