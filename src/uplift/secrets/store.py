"""The file ``secrets.age``: TOML, encrypted for everyone in ``secrets.recipients``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import tomlkit

from uplift.secrets import files
from uplift.secrets.errors import SecretsError
from uplift.spec.secret import NAME, Secret

STORE = "secrets.age"
RECIPIENTS = "secrets.recipients"
IDENTITY_VARIABLE = "UPLIFT_AGE_IDENTITY_FILE"

_LINE = re.compile(
    rf"""\s*(["']?)(?P<name>{NAME.pattern})\1\s*=\s*(?P<quote>["'])(?!(?P=quote){{2}}).*(?P=quote)\s*"""
)
_HEADER = '# One line a secret: "nexus/admin" = "value"\n'


@dataclass(frozen=True)
class Store:
    """The encrypted secrets of a project.

    Args:
        folder: the project's.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Return the place of the encrypted file."""
        return self.folder / STORE

    @property
    def recipients_path(self) -> Path:
        """Return the place of the list of public keys."""
        return self.folder / RECIPIENTS

    def identity_paths(self) -> list[Path]:
        """Return where the own key is looked for; one that the environment names is the only."""
        if named := os.environ.get(IDENTITY_VARIABLE):
            return [Path(named).expanduser()]
        return [self.folder / files.FOLDER / "identity.txt", own_identity_path()]

    def identity_path(self) -> Path | None:
        """Return the place of the own key, if there is one."""
        return next((path for path in self.identity_paths() if path.exists()), None)

    def read(self) -> Secret:
        """Return the decrypted text; empty when there is no file yet."""
        if not self.path.exists():
            return Secret(_HEADER)
        path = self._needed_identity()
        return _decrypt(self.path, self.path.read_bytes(), _identities(path), path)

    def values(self) -> dict[str, Secret]:
        """Return all secrets by name."""
        return parse(self.read(), str(self.path))

    def write(self, text: Secret) -> None:
        """Encrypt a new text for everyone in the list and put it in the place of the old one.

        Args:
            text: TOML, one line a secret.

        Raises:
            SecretsError: the text is not valid, or whoever writes could not read it again.
        """
        parse(text, STORE)
        path = self._needed_identity()
        encrypted: bytes = pyrage.encrypt(text.reveal().encode(), self._recipients(), armored=True)
        try:
            _decrypt(self.path, encrypted, _identities(path), path)
        except SecretsError:
            raise SecretsError(
                f"nothing was written: {self.recipients_path} does not list the key of {path}, "
                "so you could not read the result.\nAdd it: uplift secrets init"
            ) from None
        files.write_private(self.path, encrypted, 0o644)

    def check_writable(self) -> None:
        """Refuse early what :meth:`write` would refuse for any text.

        Raises:
            SecretsError: there is no key, or nobody to encrypt for.
        """
        self._needed_identity()
        self._recipients()

    def set(self, name: str, value: Secret) -> None:
        """Add or replace one secret; all other lines and comments stay.

        Args:
            name: of the secret.
            value: not empty.
        """
        check_name(name)
        document = self._document()
        document[name] = value.reveal()
        self.write(Secret(tomlkit.dumps(document)))

    def remove(self, name: str) -> bool:
        """Remove one secret and say whether there was one.

        Args:
            name: of the secret.
        """
        document = self._document()
        if name not in document:
            return False
        del document[name]
        self.write(Secret(tomlkit.dumps(document)))
        return True

    def _document(self) -> tomlkit.TOMLDocument:
        text = self.read()
        parse(text, str(self.path))
        return tomlkit.parse(text.reveal())

    def _needed_identity(self) -> Path:
        path = self.identity_path()
        if path is None:
            places = " and ".join(str(place) for place in self.identity_paths())
            raise SecretsError(
                f"there is no key to read {self.path} with: looked at {places}.\n"
                "Make one: uplift secrets init"
            )
        return path

    def _recipients(self) -> list[Any]:
        lines = recipient_lines(self.recipients_path)
        if not lines:
            raise SecretsError(
                f"{self.recipients_path} lists nobody to encrypt for.\n"
                "Make a key and the list: uplift secrets init"
            )
        return [_recipient(line, self.recipients_path) for line in lines]


def own_identity_path() -> Path:
    """Return where `uplift secrets init` puts a person's key, for all projects."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "uplift" / "identity.txt"


def new_identity(path: Path) -> None:
    """Make a key; one that is there stays.

    Args:
        path: of its file.
    """
    identity = pyrage.x25519.Identity.generate()
    text = f"# public key: {identity.to_public()}\n{identity}\n"
    files.write_once(path, text.encode())


def public_key(path: Path) -> str | None:
    """Return the public key of an identity; None for an SSH key, whose public file has it.

    Args:
        path: of the identity's file.
    """
    identity = _identities(path)[0]
    return str(identity.to_public()) if isinstance(identity, pyrage.x25519.Identity) else None


def recipient_lines(path: Path) -> list[str]:
    """Return the public keys of a list, without comments.

    Args:
        path: of the list; none when it is missing.
    """
    if not path.exists():
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def check_name(name: str) -> None:
    """Refuse what is no name of a secret.

    Args:
        name: as typed; not shown in the error, because it may be a value in the wrong place.
    """
    if not NAME.fullmatch(name):
        raise SecretsError(
            "a secret's name is words of letters, digits, '-', '_' and '.', parted by '/', "
            "for example nexus/admin"
        )


def parse(text: Secret, source: str) -> dict[str, Secret]:
    """Return the secrets of a decrypted text.

    Args:
        text: TOML, one line a secret.
        source: for the error's text.

    Raises:
        SecretsError: it is no TOML, or a value is empty or no text.
    """
    broken = None
    try:
        content = tomllib.loads(text.reveal())
    except tomllib.TOMLDecodeError as error:
        # Only the place: what TOML quotes may be a part of a secret.
        broken = str(error).rpartition("(")[2].rstrip(")")
        repeated = _repeated(text.reveal(), broken) if "overwrite" in str(error) else None
        broken += f": {repeated} stands there twice" if repeated else ""
    if broken is not None:
        # Raised here, so that the parser's frames with the text in them are not kept.
        raise SecretsError(f'{source} is not valid TOML ({broken}); write "name" = "value"')
    return {name: _checked(name, value, source) for name, value in _flat(content, source)}


def _repeated(text: str, place: str) -> str | None:
    """Return the name on the line of an error, if an earlier line has it too.

    Only a line that is wholly a name and its value counts: others may be a part of a secret.
    """
    number = re.search(r"at line (\d+)", place)
    lines = text.splitlines()[: int(number[1]) if number else 0]
    names = [found["name"] for line in lines if (found := _LINE.fullmatch(line))]
    whole = bool(lines) and _LINE.fullmatch(lines[-1]) is not None
    return names[-1] if whole and names[-1] in names[:-1] else None


def _flat(content: Mapping[str, Any], source: str) -> list[tuple[str, Any]]:
    for name in content:
        if not NAME.fullmatch(name):
            raise SecretsError(f"{source}: {len(name)} characters of a name that is not allowed")
    return list(content.items())


def _checked(name: str, value: Any, source: str) -> Secret:
    if not isinstance(value, str):
        kind = type(value).__name__
        raise SecretsError(f'{source}: {name} is a {kind}, not text: write {name!r} = "…"')
    if not value.strip():
        raise SecretsError(f"{source}: {name} is empty")
    return Secret(value)


def _identities(path: Path) -> list[Any]:
    text = files.read_private(path)
    if b"PRIVATE KEY-----" in text:
        return [_ssh_identity(text, path)]
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    keys = [line for line in lines if line.startswith("AGE-SECRET-KEY-")]
    try:
        found = [pyrage.x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise SecretsError(f"{path} holds no age identity (a line AGE-SECRET-KEY-1…) or SSH key")
    return found


def _ssh_identity(text: bytes, path: Path) -> Any:
    try:
        return pyrage.ssh.Identity.from_buffer(text)
    except pyrage.IdentityError:
        raise SecretsError(
            f"{path}: this SSH key cannot be used; it must be an ed25519 or RSA key without "
            "a passphrase"
        ) from None


def _recipient(line: str, path: Path) -> Any:
    kind = pyrage.ssh.Recipient if line.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(line)
    except pyrage.RecipientError:
        raise SecretsError(
            f"{path}: {line[:20]}… is no public key: it begins with age1, ssh-ed25519 or ssh-rsa"
        ) from None


def _decrypt(path: Path, content: bytes, identities: list[Any], identity: Path) -> Secret:
    try:
        return Secret(pyrage.decrypt(content, identities).decode())
    except pyrage.DecryptError:
        raise SecretsError(
            f"{path} cannot be decrypted with {identity}: it was written for other keys, or it is "
            "damaged.\nWho can read it adds your public key to secrets.recipients and runs "
            "`uplift secrets rekey`"
        ) from None
