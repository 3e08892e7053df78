"""Extra CA certificates in the system store: settings, what a host has, and the difference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import field_validator

from uplift.spec.base import Block
from uplift.spec.entry import ABSENT, Entry

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Every CA that a host trusts, in one file: what clients are pointed to."""

FOLDER = "/usr/local/share/ca-certificates/uplift"
"""Where our certificates stand on a host; everything in it is ours."""

FILE_RIGHTS = "644 0:0"
FOLDER_RIGHTS = "755 0:0"


class Certificates(Block):
    """CA certificates that hosts trust beside their distribution's.

    Args:
        files: PEM files on the controller, relative to the project's folder; ``~`` is the home of
            whoever runs the deploy. A file may hold several certificates.
        own_ca: the CA with which this controller signs certificates of its servers, as those of
            a registry or a Nexus without a certificate of yours.
    """

    files: tuple[str, ...] = ()
    own_ca: bool = False

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for number, file in enumerate(files):
            if not file.strip():
                msg = f"a file's name is missing at place {number + 1}"
                raise ValueError(msg)
        return files


@dataclass(frozen=True)
class Certificate:
    """One CA certificate.

    Args:
        subject: whom it names, for people.
        fingerprint: sha256 of the certificate itself.
        pem: its text, alone and in one form, so that the same certificate is the same file.
        not_after: when it expires.
    """

    subject: str
    fingerprint: str
    pem: str
    not_after: datetime

    @property
    def file(self) -> str:
        """Return the name of its file on hosts."""
        return f"{self.fingerprint[:16]}.crt"

    @property
    def file_sha256(self) -> str:
        """Return the sha256 of its file on hosts."""
        return hashlib.sha256(self.pem.encode()).hexdigest()


def split(text: str) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file, each once.

    Args:
        text: of the file; what stands between certificates is left out.

    Raises:
        ValueError: says why this cannot be sent to hosts.
    """
    if "PRIVATE KEY-----" in text:
        msg = "this file holds a private key, which must never reach hosts: list a file without it"
        raise ValueError(msg)
    if "-----BEGIN CERTIFICATE-----" not in text:
        msg = "this is no PEM certificate (-----BEGIN CERTIFICATE-----)"
        raise ValueError(msg)
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        msg = f"a certificate in this file is damaged: {error}"
        raise ValueError(msg) from None
    return tuple(dict.fromkeys(_certificate(certificate) for certificate in found))


def _certificate(certificate: x509.Certificate) -> Certificate:
    der = certificate.public_bytes(Encoding.DER)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    subject = str(names[0].value) if names else certificate.subject.rfc4514_string()
    return Certificate(
        subject=subject,
        fingerprint=hashlib.sha256(der).hexdigest(),
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        not_after=certificate.not_valid_after_utc,
    )


@dataclass(frozen=True)
class Store:
    """What a host's system store has of ours.

    Args:
        uid: user that looked.
        system: names of the distribution and of those it is like, as ``debian``.
        tool: whether ``update-ca-certificates`` is there.
        folder: our folder.
        files: what stands in our folder, by name.
        trusted: files whose certificate is in the bundle and is found by OpenSSL's hash.
    """

    uid: int
    system: str
    tool: bool
    folder: Entry = ABSENT
    files: Mapping[str, Entry] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What has to be done on a host.

    Args:
        write: certificates whose file is missing or differs.
        remove: names of files in our folder that are not wanted.
        words: each change, for people; empty when nothing is to be done.
    """

    write: tuple[Certificate, ...]
    remove: tuple[str, ...]
    words: tuple[str, ...]


def refusal(wanted: Sequence[Certificate], store: Store) -> str | None:
    """Return why a host's store cannot be changed, if it cannot."""
    if not wanted and not store.files:
        return None
    if "debian" not in store.system.split():
        return f"certificates: Debian and its kin are supported, this host is {store.system!r}"
    if store.uid != 0:
        return "certificates: this needs root; set _sudo = True in the group data"
    if store.folder.kind not in ("absent", "folder"):
        return f"certificates: {FOLDER} is in the way: it is not a folder"
    return None


def plan(wanted: Sequence[Certificate], store: Store) -> Plan:
    """Compare what a host trusts with what the settings want.

    Args:
        wanted: all certificates of the settings.
        store: what the host has; :func:`refusal` has nothing against it.
    """
    write = tuple(
        certificate
        for certificate in wanted
        if store.files.get(certificate.file, ABSENT)
        != Entry("file", FILE_RIGHTS, certificate.file_sha256)
    )
    names = {certificate.file for certificate in wanted}
    remove = tuple(name for name in sorted(store.files) if name not in names)
    forgotten = [c for c in wanted if c not in write and c.file not in store.trusted]
    words = (
        *[f"{certificate.subject} written" for certificate in write],
        *[f"{certificate.subject} trusted again" for certificate in forgotten],
        *[f"{name} removed" for name in remove],
        *(["folder's mode and owner put right"] if _wrong_folder(wanted, store) else []),
    )
    return Plan(write, remove, words)


def expired(certificates: Sequence[Certificate], now: datetime) -> tuple[str, ...]:
    """Return a warning for each certificate that has expired.

    Args:
        certificates: of the settings.
        now: the time, with its zone.
    """
    return tuple(
        f"the CA certificate {certificate.subject} has expired on {certificate.not_after:%Y-%m-%d}"
        for certificate in certificates
        if certificate.not_after <= now
    )


def _wrong_folder(wanted: Sequence[Certificate], store: Store) -> bool:
    return bool(wanted) and store.folder not in (ABSENT, Entry("folder", FOLDER_RIGHTS))
