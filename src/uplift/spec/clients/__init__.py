"""Client files of a host and its users: settings, formats, and how they are merged."""

from uplift.spec.clients.models import (
    Clients,
    DockerAuth,
    DockerConfig,
    NetrcEntry,
    NpmAuth,
    Npmrc,
    Pip,
    Probe,
    Pypirc,
    PypircServer,
    UserFiles,
    UvIndex,
    UvToml,
    npm_scope,
)

__all__ = [
    "Clients",
    "DockerAuth",
    "DockerConfig",
    "NetrcEntry",
    "NpmAuth",
    "Npmrc",
    "Pip",
    "Probe",
    "Pypirc",
    "PypircServer",
    "UserFiles",
    "UvIndex",
    "UvToml",
    "npm_scope",
]
