"""Read the certificates and keys that the settings list from the controller's disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from uplift import authority
from uplift.spec.certificates import Certificate, Certificates, split
from uplift.spec.docker import Docker
from uplift.spec.errors import Problem, SettingsError
from uplift.spec.registry import Tls
from uplift.spec.registry.tls import fault, key_fault
from uplift.spec.secret import Secret, SecretRef


def certificates(
    settings: Certificates, *, project: Path | None = None, source: str | None = None
) -> tuple[Certificate, ...]:
    """Return the certificates of all listed files, and the controller's own CA, each once.

    That CA is made when it is first needed.

    Args:
        settings: the files.
        project: folder that relative names start from; the current one when left out.
        source: file of the settings, for the error's text.

    Raises:
        SettingsError: names every file that is missing or is no certificate.
        UsageError: the controller's own CA cannot be used.
    """
    files = [(f"certificates.files[{number}]", name) for number, name in enumerate(settings.files)]
    read = _read(files, project, source)
    if settings.own_ca:
        read.append(list(split(authority.own(project).certificate)))
    return tuple(dict.fromkeys(found for bundle in read for found in bundle))


def authorities(settings: Docker, *, project: Path | None = None) -> dict[str, str]:
    """Return the PEM text of each registry's own authority, by registry.

    The controller's own CA is made when it is first needed.

    Args:
        settings: the block ``docker``.
        project: folder that relative names start from; the current one when left out.

    Raises:
        SettingsError: names every file that is missing or is no certificate.
        UsageError: the controller's own CA cannot be used.
    """
    found = ca_files(settings, project=project)
    return {
        name: authority.own(project).certificate if one.own_ca else found[name]
        for name, one in settings.registries.items()
    }


def ca_files(
    settings: Docker, *, project: Path | None = None, source: str | None = None
) -> dict[str, str]:
    """Return the PEM text of those authorities of registries that are files, by registry.

    Args:
        settings: the block ``docker``.
        project: folder that relative names start from; the current one when left out.
        source: file of the settings, for the error's text.

    Raises:
        SettingsError: names every file that is missing or is no certificate.
    """
    files = {name: one.ca_file for name, one in settings.registries.items() if one.ca_file}
    keys = [(f"docker.registries.{name}.ca_file", file) for name, file in files.items()]
    read = _read(keys, project, source)
    return {
        registry: "".join(certificate.pem for certificate in bundle)
        for registry, bundle in zip(files, read, strict=True)
    }


def server(
    tls: Tls,
    resolve: Callable[[SecretRef], Secret | None],
    *,
    project: Path | None = None,
    source: str | None = None,
    path: str = "registry.tls",
) -> tuple[str, Secret | None]:
    """Return a server's certificate and private key as they stand on this machine, both PEM.

    Args:
        tls: with ``certificate``.
        resolve: gives the key where it is a secret; None: it is not looked at.
        project: folder that relative names start from; the current one when left out.
        source: file of the settings, for the error's text.
        path: of the key of the settings, for the same.

    Raises:
        SettingsError: a file is missing, the certificate has expired or is for other names, or the
            key does not fit it.
    """
    assert tls.certificate is not None
    found: list[Problem] = []

    def read(field: str, name: str) -> str | None:
        try:
            return _text(name, project)
        except ValueError as error:
            found.append(Problem(f"{path}.{field}", f"{name}: {error}", source))
            return None

    text = read("certificate", tls.certificate)
    if text is not None and (reason := fault(text, tls.names, datetime.now(UTC))):
        found.append(Problem(f"{path}.certificate", f"{tls.certificate}: {reason}", source))
    if tls.key_file is not None:
        line = read("key_file", tls.key_file)
        key = None if line is None else Secret(line)
    else:
        key = resolve(tls.key) if tls.key else None
    if not found and text and key and (reason := key_fault(text, key.reveal())):
        field, name = ("key_file", tls.key_file) if tls.key_file else ("key", tls.key)
        found.append(Problem(f"{path}.{field}", f"{name} {reason}", source))
    if found:
        raise SettingsError(found)
    assert text is not None
    return text, key


def _read(
    files: Iterable[tuple[str, str]], project: Path | None, source: str | None
) -> list[list[Certificate]]:
    """Read PEM files given as pairs of a key of the settings and a name."""
    found: list[list[Certificate]] = []
    problems = []
    for key, name in files:
        try:
            found.append(list(split(_text(name, project))))
        except ValueError as error:
            problems.append(Problem(key, f"{name}: {error}", source))
    if problems:
        raise SettingsError(problems)
    return found


def _text(name: str, project: Path | None) -> str:
    """Return the text of a file.

    Raises:
        ValueError: says why it cannot be read, without a byte of it.
    """
    try:
        return ((project or Path()) / Path(name).expanduser()).read_text("utf-8")
    except UnicodeDecodeError:
        # ValueError's kin, but its own text would show bytes of the file.
        msg = "this is not text; a certificate in DER becomes PEM by: openssl x509 -inform der"
        raise ValueError(msg) from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except RuntimeError as error:  # no such home
        raise ValueError(str(error)) from None
