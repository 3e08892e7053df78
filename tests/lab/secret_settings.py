"""Settings with a secret in every place that takes one, each another."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel

from uplift.spec.secret import MadeSecret, SecretRef

# Answers every request, also before it is asked to drain.
SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_HEAD = do_GET
HTTPServer(("", 8000), Handler).serve_forever()
"""

MADE = "influxdb.tokens[].secret"
"""InfluxDB makes this one; another block's place refers to it."""

HOOK = "rollout.hooks[].url"
"""An address, of which only the host is shown."""


def fields(model: type[BaseModel]) -> set[str]:
    """Return every place of a model that takes a secret, as ``users[].password``."""
    return set(_fields(model, "", frozenset()))


def _fields(found: Any, path: str, above: frozenset[type]) -> Iterator[str]:
    if isinstance(found, type) and issubclass(found, SecretRef | MadeSecret):
        yield path
    elif isinstance(found, type) and issubclass(found, BaseModel):
        if found not in above:
            for name, field in found.model_fields.items():
                yield from _fields(field.annotation, f"{path}.{name}".strip("."), above | {found})
    else:
        origin = get_origin(found)
        many = isinstance(origin, type) and issubclass(origin, list | tuple | Mapping | set)
        for argument in get_args(found):
            yield from _fields(argument, f"{path}[]" if many else path, above)


def places(held: Any, path: str = "") -> set[str]:
    """Return every place of settings that holds a secret, named as by ``fields``."""
    if isinstance(held, SecretRef | MadeSecret):
        return {path}
    if isinstance(held, BaseModel):
        inner = [(f"{path}.{name}".strip("."), value) for name, value in held]
    elif isinstance(held, Mapping):
        inner = [(f"{path}[]", value) for value in held.values()]
    elif isinstance(held, list | tuple | set):
        inner = [(f"{path}[]", value) for value in held]
    else:
        inner = []
    return {place for below, value in inner for place in places(value, below)}


def ref(place: str) -> dict[str, str]:
    """Refer to the secret of a place."""
    return {"secret": place.replace("[]", "").replace(".", "/")}


def values(keys: Mapping[str, str]) -> dict[str, str]:
    """Return a new secret for every place; PEM texts are given."""
    from uplift.settings import Settings

    # What is written otherwise in JSON, in an address and in base64.
    made = {
        place: f"{secrets.token_hex(8)}/+%&{secrets.token_hex(8)}" for place in fields(Settings)
    }
    # A token stands in an .npmrc as it is.
    made["clients.users[].npmrc.auth[].token"] = f"{secrets.token_hex(8)}/+=~{secrets.token_hex(8)}"
    for place in ("backups.influxdb.ssh.key", "backups.nexus.ssh.key"):
        key = ed25519.Ed25519PrivateKey.generate()
        made[place] = key.private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        ).decode()
    # Nobody is there: that it could not be told is a warning.
    made[HOOK] = f"http://127.0.0.1:9/{secrets.token_hex(16)}"
    # The same server is spoken to with it.
    made["backups.influxdb.token"] = made["influxdb.setup.token"]
    made |= keys
    return {place: value for place, value in made.items() if not place.endswith("tokens[].secret")}


def everything(certificates: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a host, with a secret wherever one can be.

    Args:
        certificates: PEM files of this machine, by the place of their key.
    """
    return {
        **shared(),
        **_services(certificates),
        "haproxy": {
            "binds": [{"address": "127.0.0.1", "port": 8443, "tls": True}],
            "certificates": {
                "own": {
                    "certificate": certificates["haproxy.certificates[].key"],
                    "key": ref("haproxy.certificates[].key"),
                }
            },
        },
        "apps": [_app()],
        "backups": _backups(),
        "images": _images(),
        "packages": {
            "repositories": {
                "own": {
                    "format": "raw",
                    "url": "http://127.0.0.1:1/repository/own/",
                    "username": "deployer",
                    "password": ref("packages.repositories[].password"),
                }
            }
        },
        "nexus": _nexus(certificates),
    }


def shared() -> dict[str, Any]:
    """Return what every host has."""
    users = "clients.users[]"
    return {
        "rollout": {"hooks": [{"at": "end", "url": ref(HOOK)}]},
        "docker": {"insecure_registries": ["registry:5000"]},
        "redis": {"image": "registry:5000/redis:8", "password": ref("redis.password")},
        "clients": {
            "users": [
                {
                    "user": "root",
                    "netrc": [
                        {
                            "machine": "one.example.com",
                            "login": "somebody",
                            "password": ref(f"{users}.netrc[].password"),
                        }
                    ],
                    "npmrc": {
                        "auth": [
                            {
                                "url": "https://one.example.com/npm/",
                                "token": ref(f"{users}.npmrc.auth[].token"),
                            },
                            {
                                "url": "https://two.example.com/npm/",
                                "username": "somebody",
                                "password": ref(f"{users}.npmrc.auth[].password"),
                            },
                        ]
                    },
                    "pypirc": {
                        "servers": [
                            {
                                "name": "own",
                                "repository": "https://one.example.com/pypi/",
                                "username": "somebody",
                                "password": ref(f"{users}.pypirc.servers[].password"),
                            }
                        ]
                    },
                    "docker": {
                        "auths": [
                            {
                                "registry": "one.example.com",
                                "username": "somebody",
                                "password": ref(f"{users}.docker.auths[].password"),
                            }
                        ]
                    },
                }
            ]
        },
    }


def _services(certificates: Mapping[str, str]) -> dict[str, Any]:
    return {
        "registry": {
            "image": "registry:5000/registry:2",
            "users": [{"name": "somebody", "password": ref("registry.users[].password")}],
            "tls": {
                "names": ["lab-1"],
                "certificate": certificates["registry.tls.key"],
                "key": ref("registry.tls.key"),
            },
        },
        "influxdb": {
            "container": {"image": "registry:5000/influxdb:2.7.12"},
            "setup": {
                "user": "admin",
                "password": ref("influxdb.setup.password"),
                "organisation": "own",
                "bucket": "default",
                "token": ref("influxdb.setup.token"),
            },
            "buckets": [{"name": "default"}],
            "users": [{"name": "reader", "password": ref("influxdb.users[].password")}],
            "tokens": [{"description": "own", "write": ["default"], "secret": ref(MADE)}],
        },
        "influxdb_client": {
            "tokens": [{"secret": ref(MADE), "file": "/etc/uplift-test-influxdb.token"}]
        },
    }


def _app() -> dict[str, Any]:
    return {
        "name": "canary",
        "image": "registry:5000/python:3.13-slim",
        "command": ["python", "-c", SERVER],
        "port": 8000,
        "slot_ports": [18001, 18002],
        "routes": [{}],
        "hold": 1,
        "stop_timeout": 1,
        "environment": {"OWN": ref("apps[].environment[]")},
        "expose_in_environment": True,
        "secrets": {"own": ref("apps[].secrets[]")},
        "ready": {
            "http": {"port": 8000, "path": "/", "bearer": ref("apps[].ready.http.bearer")},
            "stable": 1,
        },
        "drain": {"seconds": 1, "path": "/", "token": ref("apps[].drain.token")},
        "jobs": [
            {
                "name": "once",
                "command": ["python", "-c", "import time; time.sleep(2)"],
                "environment": {"JOB": ref("apps[].jobs[].environment[]")},
            }
        ],
    }


def _backups() -> dict[str, Any]:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    from cryptography.hazmat.primitives.serialization import PublicFormat

    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return {
        "influxdb": {
            "target": "somebody@lab-2:/srv/backup",
            "token": ref("backups.influxdb.token"),
            "ssh": {"host_key": line, "key": ref("backups.influxdb.ssh.key")},
        },
        "nexus": {
            "target": "somebody@lab-2:/srv/backup",
            "password": ref("backups.nexus.password"),
            "ssh": {"host_key": line, "key": ref("backups.nexus.ssh.key")},
        },
    }


def _images() -> dict[str, Any]:
    return {
        "build": [
            {
                "name": "registry:5000/canary-one",
                "version": "1.0.0",
                "builder": "dockerfile",
                "source": "examples/console/backend",
                "secrets": {"own": ref("images.build[].secrets[]")},
            },
            {
                "name": "registry:5000/canary-two",
                "version": "1.0.0",
                "builder": "uv",
                "source": "examples/console/backend",
                "base": "registry:5000/python:3.13-slim",
                "entry_point": ["console"],
                "index": {
                    "url": "http://127.0.0.1:1/simple/",
                    "username": "somebody",
                    "password": ref("images.build[].index.password"),
                },
            },
        ]
    }


def _nexus(certificates: Mapping[str, str]) -> dict[str, Any]:
    def proxy(name: str, login: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": "pypi",
            "type": "proxy",
            "name": name,
            "proxy": {"remote_url": "https://one.example.com/"},
            "http_client": {"authentication": login},
        }

    login = "nexus.repositories[].http_client.authentication"
    return {
        "container": {
            "image": "registry:5000/sonatype/nexus3:3.30.0",
            "nofile": None,
            "tls": {
                "names": ["lab-1"],
                "certificate": certificates["nexus.container.tls.key"],
                "key": ref("nexus.container.tls.key"),
            },
        },
        "admin": {
            "password": ref("nexus.admin.password"),
            "first_password": ref("nexus.admin.first_password"),
        },
        "repositories": [
            {"format": "pypi", "type": "hosted", "name": "own"},
            proxy("one", {"username": "somebody", "password": ref(f"{login}.password")}),
            proxy("two", {"type": "bearerToken", "bearer_token": ref(f"{login}.bearer_token")}),
        ],
        "users": [
            {
                "user_id": "somebody",
                "password": ref("nexus.users[].password"),
                "roles": ["nx-anonymous"],
            }
        ],
        "deployers": {
            "repositories": ["own"],
            "users": [{"user_id": "deployer", "password": ref("nexus.deployers.users[].password")}],
        },
        "readers": {
            "repositories": ["own"],
            "users": [{"user_id": "reader", "password": ref("nexus.readers.users[].password")}],
        },
    }
