"""The lab's SSH key, and what is known of its hosts' keys."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

HOST_KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))


def public_key(file: Path, comment: str) -> str:
    """Return the lab's public key, making the pair when there is none.

    Args:
        file: private key, mode 0600.
        comment: how the key is called in ``authorized_keys``.
    """
    if not file.exists():
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_whole(file, text, 0o600)
    private = load_ssh_private_key(file.read_bytes(), password=None)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"{public.decode()} {comment}\n"


def known_hosts_lines(address: str, port: int, public_keys: Iterable[str]) -> list[str]:
    """Return the ``known_hosts`` lines of one host.

    Args:
        address: where it is reached.
        port: of its sshd.
        public_keys: the contents of its ``ssh_host_*_key.pub`` files.
    """
    where = address if port == 22 else f"[{address}]:{port}"
    return [f"{where} {' '.join(key.split()[:2])}" for key in public_keys]


def write_changed(file: Path, text: str, mode: int) -> None:
    """Write a file whole, unless that is what it holds already."""
    if not file.exists() or file.read_text() != text:
        write_whole(file, text.encode(), mode)


def write_whole(file: Path, content: bytes, mode: int) -> None:
    """Write a file so that nobody ever sees half of it.

    Args:
        file: its folder is made when missing.
        content: all of it.
        mode: permissions.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.chmod(mode)
    part.replace(file)
