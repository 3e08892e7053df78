"""The example application, for inventories/console.py: two slots on each of the lab's app hosts."""

from shutil import which

from uplift.lab.names import default_name, project_folder, resource
from uplift.secrets import lab_secret

# Only these names are data; the rest of the file is how they are made.
__all__ = ["apps", "haproxy"]

# Which release runs. Edit it and run deploys/app.py; for once, without editing:
# pyinfra inventories/console.py deploys/app.py --data app=console --data tag=1.4.0-poetry
_CONSOLE = "lab-1:5000/console:2.0.0-uv"
_WEB = "lab-1:5000/console-web:2.0.0-dockerfile"

# Containers find hosts of the lab by their name in its network, when they are in one of their own.
_NETWORK = [{"name": "console"}]
_REDIS = f"lab-1.{resource(default_name(project_folder()))}"

haproxy = {
    # A host of the lab is reached at its own loopback address of this machine.
    "binds": [{"address": "*", "port": 80}],
}

_BACKEND = {
    "name": "console",
    "image": _CONSOLE,
    "port": 8000,
    "version_path": "/version",
    "slot_ports": [18001, 18002],
    "routes": [{"path": path} for path in ("/api", "/ws", "/version", "/readyz")],
    # It is up within a few seconds; who waits longer for one that is broken learns no more. It is
    # held after the switch, with the one of before ready to take over: two seconds are enough here.
    "ready": {"http": {"port": 8000, "path": "/readyz"}, "start_period": 12, "stable": 2},
    # As the image has it: it reads the files with secrets.
    "user": "10001",
    "networks": _NETWORK,
    "environment": {"MAESTRO_ENVIRONMENT": "staging", "MAESTRO_REDIS_HOST": _REDIS},
    "secrets": {
        "maestro_redis_password": lab_secret("redis/password"),
        "maestro_drain_token": lab_secret("console/drain"),
    },
    "read_only": True,
    "hold": 3,
    "stop_timeout": 15,
    "drain": {"seconds": 5, "path": "/health/drain", "token": lab_secret("console/drain")},
}

_FRONTEND = {
    "name": "console-web",
    "image": _WEB,
    "port": 8080,
    "slot_ports": [18011, 18012],
    "routes": [{"path": "/"}],
    "ready": {"http": {"port": 8080, "path": "/web-readyz"}, "stable": 2},
    "networks": _NETWORK,
    "read_only": True,
    "tmpfs": {"/tmp": "mode=1777"},  # noqa: S108 - of its own container
    "hold": 3,
    "drain": {"seconds": 5},
}

apps = [_BACKEND, *([_FRONTEND] if which("npm") else [])]
