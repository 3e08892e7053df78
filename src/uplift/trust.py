"""Read the CA certificates that the settings list from the controller's disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from uplift.spec.certificates import Certificate, Certificates, split
from uplift.spec.docker import Docker
from uplift.spec.errors import Problem, SettingsError


def certificates(
    settings: Certificates, *, project: Path | None = None, source: str | None = None
) -> tuple[Certificate, ...]:
    """Return the certificates of all listed files, each once.

    Args:
        settings: the files.
        project: folder that relative names start from; the current one when left out.
        source: file of the settings, for the error's text.

    Raises:
        SettingsError: names every file that is missing or is no certificate.
    """
    files = [(f"certificates.files[{number}]", name) for number, name in enumerate(settings.files)]
    read = _read(files, project, source)
    return tuple(dict.fromkeys(found for bundle in read for found in bundle))


def authorities(
    settings: Docker, *, project: Path | None = None, source: str | None = None
) -> dict[str, str]:
    """Return the PEM text of each registry's own authority, by registry.

    Args:
        settings: the block ``docker``.
        project: folder that relative names start from; the current one when left out.
        source: file of the settings, for the error's text.

    Raises:
        SettingsError: names every file that is missing or is no certificate.
    """
    files = [
        (f"docker.registries.{name}.ca_file", registry.ca_file)
        for name, registry in settings.registries.items()
    ]
    read = _read(files, project, source)
    return {
        registry: "".join(certificate.pem for certificate in bundle)
        for registry, bundle in zip(settings.registries, read, strict=True)
    }


def _read(
    files: Iterable[tuple[str, str]], project: Path | None, source: str | None
) -> list[list[Certificate]]:
    """Read PEM files given as pairs of a key of the settings and a name."""
    found: list[list[Certificate]] = []
    problems = []
    for key, name in files:
        try:
            file = (project or Path()) / Path(name).expanduser()
            found.append(list(split(file.read_text("utf-8"))))
        except UnicodeDecodeError:
            # ValueError's kin, but its own text would show bytes of the file.
            text = "this is not text; a certificate in DER becomes PEM by: openssl x509 -inform der"
            problems.append(Problem(key, f"{name}: {text}", source))
        except OSError as error:
            problems.append(Problem(key, f"{name}: {error.strerror or error}", source))
        except (ValueError, RuntimeError) as error:
            problems.append(Problem(key, f"{name}: {error}", source))
    if problems:
        raise SettingsError(problems)
    return found
