"""Extra CA certificates in the system store: settings, what a host has, and the difference."""

from __future__ import annotations

from pydantic import field_validator

from uplift.spec.base import Block

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Every CA that a host trusts, in one file: what clients are pointed to."""

FOLDER = "/usr/local/share/ca-certificates/uplift"
"""Where our certificates stand on a host; everything in it is ours."""


class Certificates(Block):
    """CA certificates that hosts trust beside their distribution's.

    Args:
        files: PEM files on the controller, relative to the project's folder; ``~`` is the home of
            whoever runs the deploy. A file may hold several certificates.
    """

    files: tuple[str, ...] = ()

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for number, file in enumerate(files):
            if not file.strip():
                msg = f"a file's name is missing at place {number + 1}"
                raise ValueError(msg)
        return files
