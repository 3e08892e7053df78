"""The places that secrets come from, each asked for one name at a time."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field

from uplift.secrets import files
from uplift.secrets.errors import SecretsError
from uplift.secrets.store import Store
from uplift.spec.base import Block, near_miss
from uplift.spec.secret import MASK, Secret

PROJECT_FILE = "uplift.toml"
LAB_FILE = "lab-secrets.json"


@dataclass(frozen=True)
class Absent:
    """Why a place does not have a secret.

    Args:
        place: that was asked.
        answer: what it said.
    """

    place: str
    answer: str


class Provider(Protocol):
    """A place that secrets come from."""

    def look(self, name: str) -> Secret | Absent:
        """Return the secret of a name, or why it is not there."""


def variable(name: str) -> str:
    """Return the environment variable of a secret: ``UPLIFT_SECRET_NEXUS_ADMIN``.

    Args:
        name: as ``nexus/admin``; what is no letter or digit becomes ``_``.
    """
    return "UPLIFT_SECRET_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


class Environment:
    """Environment variables, one a secret."""

    def look(self, name: str) -> Secret | Absent:
        """Return the secret of a name, or why it is not there."""
        key = variable(name)
        if key not in os.environ:
            return Absent(f"environment variable {key}", "not set")
        if not os.environ[key].strip():
            raise SecretsError(f"environment variable {key} is set but empty: unset it, or fill it")
        return Secret(os.environ[key])


@dataclass
class AgeFile:
    """The encrypted file of the project, decrypted once.

    Args:
        store: of the project.
    """

    store: Store
    _values: dict[str, Secret] | None = None

    def look(self, name: str) -> Secret | Absent:
        """Return the secret of a name, or why it is not there."""
        place = str(self.store.path)
        if not self.store.path.exists():
            return Absent(place, "no such file")
        if self.store.identity_path() is None:
            looked = ", ".join(str(path) for path in self.store.identity_paths())
            return Absent(place, f"there is no key to read it with (looked at {looked})")
        if self._values is None:
            self._values = self.store.values()
        if name in self._values:
            return self._values[name]
        guess = near_miss(name, self._values)
        return Absent(place, "no such name" + (f", did you mean {guess!r}?" if guess else ""))


class CommandSettings(Block):
    """Table ``[secrets]`` of ``uplift.toml``.

    Args:
        command: a program and its arguments; ``{name}`` stands for the secret's name.
        timeout: seconds after which it is given up.
    """

    command: list[str] = Field(min_length=1)
    timeout: float = Field(default=30, gt=0, le=600)


@dataclass(frozen=True)
class Command:
    """A program that prints a secret: ``pass``, ``op``, ``vault``, …

    Args:
        folder: the project's.
    """

    folder: Path

    def look(self, name: str) -> Secret | Absent:
        """Return the secret of a name, or why it is not there."""
        settings = self._settings()
        if settings is None:
            return Absent(f"command in {self.folder / PROJECT_FILE}", "none is set up")
        argv = [part.replace("{name}", name) for part in settings.command]
        place = f"command `{' '.join(argv)}`"
        try:
            done = self._run(argv, settings.timeout)
        except FileNotFoundError:
            return Absent(place, f"{argv[0]} is not installed")
        except OSError as error:
            raise SecretsError(f"{place} cannot be started: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretsError(f"{place} printed no UTF-8 text for secret {name!r}") from None
        except subprocess.TimeoutExpired:
            limit = f"{settings.timeout:g} s"
            raise SecretsError(f"{place} gave no answer within {limit} (secret {name!r})") from None
        if done.returncode:
            return Absent(place, f"exit code {done.returncode}{_said(done)}")
        if not done.stdout.strip():
            raise SecretsError(f"{place} printed nothing for secret {name!r}")
        return Secret(done.stdout.removesuffix("\n"))

    def _run(self, argv: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        # No input: a program that wants to ask for a passphrase would wait for ever.
        return subprocess.run(
            argv,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def _settings(self) -> CommandSettings | None:
        path = self.folder / PROJECT_FILE
        if not path.exists():
            return None
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SecretsError(f"{path} is not valid TOML: {error}") from None
        if "secrets" not in content:
            return None
        return CommandSettings.parse(content["secrets"], path="secrets", source=str(path))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a program's complaint, without what it printed as a secret."""
    lines = done.stderr.strip().splitlines()
    if not lines:
        return ""
    line = lines[-1].strip()
    for shown in (done.stdout.strip(), *done.stdout.split()):
        line = line.replace(shown, MASK) if shown else line
    return f": {line[:200]}"


@dataclass(frozen=True)
class Lab:
    """The lab's own secrets, made up when they are first asked for.

    Args:
        folder: the project's.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Return the place of the file."""
        return self.folder / files.FOLDER / LAB_FILE

    def look(self, name: str) -> Secret | Absent:
        """Return the secret of a name; there always is one."""
        found = self.values()
        if name in found:
            return found[name]
        with files.locked(self.folder, "lab-secrets", wait=10):
            found = self.values()  # another process may have been first
            found.setdefault(name, Secret(secrets.token_hex(20)))
            self._write(found)
        return found[name]

    def put(self, name: str, value: Secret) -> None:
        """Keep a value that was made elsewhere.

        Args:
            name: of the secret.
            value: in place of any other.
        """
        with files.locked(self.folder, "lab-secrets", wait=10):
            self._write({**self.values(), name: value})

    def _write(self, found: Mapping[str, Secret]) -> None:
        plain = {key: value.reveal() for key, value in sorted(found.items())}
        files.write_private(self.path, (json.dumps(plain, indent=2) + "\n").encode())

    def values(self) -> dict[str, Secret]:
        """Return what has been made up so far."""
        try:
            text = files.read_private(self.path)
        except FileNotFoundError:
            return {}
        broken = False
        try:
            found = {str(name): Secret(value) for name, value in json.loads(text).items()}
        except (ValueError, AttributeError):
            broken = True
        if broken:
            raise SecretsError(
                f"{self.path} is damaged: remove it, and run `uplift lab down` and `up`, as the "
                "lab's services know the secrets that were in it"
            )
        return found
