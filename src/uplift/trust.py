"""Read the CA certificates that the settings list from the controller's disk."""

from __future__ import annotations

from pathlib import Path

from uplift.spec.certificates import Certificate, Certificates, split
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
    found: dict[Certificate, None] = {}
    problems = []
    for number, name in enumerate(settings.files):
        try:
            file = (project or Path()) / Path(name).expanduser()
            found.update(dict.fromkeys(split(file.read_text("utf-8"))))
        except UnicodeDecodeError:
            # ValueError's kin, but its own text would show bytes of the file.
            text = "this is not text; a certificate in DER becomes PEM by: openssl x509 -inform der"
            problems.append(_problem(number, name, text, source))
        except OSError as error:
            problems.append(_problem(number, name, error.strerror or str(error), source))
        except (ValueError, RuntimeError) as error:
            problems.append(_problem(number, name, str(error), source))
    if problems:
        raise SettingsError(problems)
    return tuple(found)


def _problem(number: int, name: str, text: str, source: str | None) -> Problem:
    return Problem(f"certificates.files[{number}]", f"{name}: {text}", source)
