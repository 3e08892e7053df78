"""TLS in the server itself: the files that it is given, and the keystore that Java reads."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from uplift.spec.registry.tls import chain, key_fault

INSIDE = "/etc/uplift/tls"
"""Where the server finds its files in the container."""

PORT = 8443
"""Where it listens for TLS in its container."""

KEYSTORE, AUTHORITY = "keystore.jks", "ca.crt"
"""Java's keystore has the name that the image's ``jetty-https.xml`` gives it; it is PKCS#12."""

_WORD = b"password"
"""Stands in the image's ``jetty-https.xml``, and another one would stand in a copy of that file
beside the keystore: what keeps the key is who may read the file."""

GROUP = 200
"""Of the server, in every image."""

FOLDER_RIGHTS = f"750 0:{GROUP}"
RIGHTS = {KEYSTORE: f"640 0:{GROUP}", AUTHORITY: f"640 0:{GROUP}"}

PROPERTIES = {
    "application-port-ssl": str(PORT),
    "ssl.etc": INSIDE,
    "nexus-args": ",".join(
        f"${{jetty.etc}}/{name}.xml"
        for name in ("jetty", "jetty-http", "jetty-https", "jetty-requestlog")
    ),
}
"""Keys of ``nexus.properties``. HTTP goes on inside the container, where no port is published."""


def folder(name: str) -> str:
    """Return where the files of a server are on its host.

    Args:
        name: of the container.
    """
    return f"/etc/uplift/{name}"


@dataclass(frozen=True)
class Material:
    """A certificate and its key, both PEM.

    Args:
        certificate: the server's own first, then those between it and its CA.
        key: the private key.
    """

    certificate: str = ""
    key: str = field(default="", repr=False)

    def same(self, other: Material) -> bool:
        """Tell whether another one is the same certificate, with a key that fits it.

        Args:
            other: may be empty.
        """
        try:
            equal = chain(self.certificate) == chain(other.certificate)
            return equal and not key_fault(other.certificate, other.key)
        except ValueError:
            return False


def pack(it: Material) -> bytes:
    """Return the keystore of a certificate and its key; each time other bytes.

    Args:
        it: a pair that fits.
    """
    own, *above = chain(it.certificate)
    key = load_pem_private_key(it.key.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        msg = "is neither RSA nor an elliptic curve's, which the server's Java needs"
        raise ValueError(msg)
    # What every Java 8 reads; later ciphers came to it with 8u301.
    cipher = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(SHA1())  # noqa: S303 - no secret rests on it, see _WORD
        .build(_WORD)
    )
    return pkcs12.serialize_key_and_certificates(b"nexus", key, own, above, cipher)


def unpack(content: bytes) -> Material:
    """Return what a keystore holds; empty when it is none of ours.

    Args:
        content: of the file.
    """
    try:
        found = pkcs12.load_pkcs12(content, _WORD)
    except ValueError:
        return Material()
    if found.cert is None or found.key is None:
        return Material()
    certificates = [found.cert.certificate, *(it.certificate for it in found.additional_certs)]
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Material(
        "".join(it.public_bytes(Encoding.PEM).decode() for it in certificates),
        found.key.private_bytes(*form).decode(),
    )


@dataclass(frozen=True)
class File:
    """One file of the server on its host.

    Args:
        rights: mode and ``uid:gid``.
        changed: when it came to be as it is, in nanoseconds.
        content: its bytes.
    """

    rights: str
    changed: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Files:
    """What a host has.

    Args:
        folder: rights of the folder, empty when there is none.
        found: by name.
        started: when the container was started, in nanoseconds; 0 when it does not run.
    """

    folder: str = ""
    found: Mapping[str, File] = field(default_factory=dict)
    started: int = 0

    def steady(self) -> object:
        """Return what stays while nobody changes it: a restart is no change."""
        held = {name: (file.rights, file.content) for name, file in self.found.items()}
        return (self.folder, held, self.stale)

    @property
    def material(self) -> Material:
        """Return what the keystore holds."""
        file = self.found.get(KEYSTORE)
        return unpack(file.content) if file else Material()

    @property
    def stale(self) -> bool:
        """Tell whether the server runs with another keystore: it reads it when it starts."""
        file = self.found.get(KEYSTORE)
        return bool(self.started) and file is not None and file.changed > self.started


def parse(lines: Iterable[str]) -> Files:
    """Read the lines of the fact's script that begin with ``tls-``.

    Args:
        lines: all that it printed.
    """
    words = [line.split(" ") for line in lines if line.startswith("tls-")]
    single = {one[0]: " ".join(one[1:]) for one in words if one[0] != "tls-file"}
    return Files(
        folder=single.get("tls-folder", ""),
        found={
            name: File(f"{mode} {owner}", int(changed), base64.b64decode(content.lstrip("-")))
            for _, name, mode, owner, changed, content in (
                one for one in words if one[0] == "tls-file"
            )
        },
        started=int(single.get("tls-started") or 0),
    )


@dataclass(frozen=True)
class Todo:
    """What is done about the files.

    Args:
        write: new contents by name.
        remove: nothing of it is wanted any more.
        words: each change, for people; empty when nothing is to be done.
    """

    write: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    remove: bool = False
    words: tuple[str, ...] = ()


def plan(files: Files, wanted: Material | None, authority: str, why: str) -> Todo:
    """Compare the files with what they shall hold.

    Args:
        files: what the host has.
        wanted: None for a server without TLS.
        authority: PEM of the CA that this host shall check the server by; empty: its own store.
        why: the certificate is another one, for people; empty when it is not.
    """
    if wanted is None:
        return Todo(remove=bool(files.folder), words=("files of TLS removed",) * bool(files.folder))
    told = [f"certificate: {why}"] if why else []
    write: dict[str, bytes] = {}
    if why:
        write[KEYSTORE] = pack(wanted)
    has = files.found.get(AUTHORITY)
    if (has.content if has else b"") != authority.encode():
        write[AUTHORITY] = authority.encode()
        told += [] if why else [f"{AUTHORITY}: written"]
    for name, rights in RIGHTS.items():
        file = files.found.get(name)
        if file is not None and file.rights != rights and name not in write:
            write[name] = file.content
            told.append(f"{name}: {file.rights} -> {rights}")
    if files.folder not in ("", FOLDER_RIGHTS):
        told.append(f"folder: {files.folder} -> {FOLDER_RIGHTS}")
    return Todo(write, False, tuple(told))
