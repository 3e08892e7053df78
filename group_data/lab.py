"""Values for the lab (inventories/lab.py). Its name makes it win over all other files here.

Public indexes are those of this machine, so that the lab works wherever pip and npm work here;
the private ones are services of the lab itself.
"""

from uplift import controller
from uplift.secrets import lab_secret

# Only these names are data; the rest of the file is how they are made.
__all__ = ["_sudo", "certificates", "clients", "docker", "influxdb_client", "uv"]

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PYTHON, _NPM = controller.python_index(), controller.npm_registry()

# The lab's own Nexus, as hosts of the lab call it: they install from its groups as its reader.
# Secrets of the lab are made up when they are first needed, and kept in .uplift/lab-secrets.json.
_NEXUS = "http://lab-1:28081/repository"
_READER = lab_secret("nexus/reader")
_DEPLOYER = {"username": "deployer", "password": lab_secret("nexus/deployer")}


def _user(name: str) -> dict[str, object]:
    """Return the client files of one user of a lab host."""
    return {
        "user": name,
        "netrc": [{"machine": "lab-1", "login": "reader", "password": _READER}],
        "npmrc": {
            **({"registry": _NPM} if _NPM else {}),
            "cafile": _BUNDLE,
            "scopes": {"@maestro": f"{_NEXUS}/npm/"},
            "auth": [{"url": f"{_NEXUS}/npm/", "username": "reader", "password": _READER}],
        },
        "pypirc": {
            "servers": [{"name": "lab", "repository": f"{_NEXUS}/pypi-private/", **_DEPLOYER}],
        },
        "docker": {
            "auths": [
                {
                    "registry": "lab-1:5000",
                    "username": "deployer",
                    "password": lab_secret("registry/deployer"),
                },
            ],
        },
    }


# The lab's user may become root without a password.
_sudo = True

# What this machine trusts beside its distribution's authorities, hosts of the lab trust as well.
certificates = {"files": controller.certificates()}

uv = {"version": "0.13.8"}

docker = {
    "log_driver": "json-file",
    "log_opts": {"max_size": "10m", "max_file": 3},
    "live_restore": True,
    # The registry of the lab itself, which plays the public one, speaks plain HTTP.
    "insecure_registries": ["registry:5000"],
    # The registry on lab-1 (lab_services.py) has a certificate of this machine's own CA.
    "registries": {"lab-1:5000": {"own_ca": True}},
}

clients = {
    "uv": {
        "system_certs": True,
        "allow_insecure_host": ["lab-1:28081"],
        "index": [
            *([{"name": "public", "url": _PYTHON, "default": True}] if _PYTHON else []),
            # Explicit: only packages that ask for it by name come from here.
            {"name": "private", "url": f"{_NEXUS}/pypi/simple", "explicit": True},
        ],
    },
    "pip": {**({"index_url": _PYTHON} if _PYTHON else {}), "cert": _BUNDLE},
    "users": [_user("root"), _user("deploy"), _user("app")],
}

# What programs of the hosts write to the lab's InfluxDB with.
influxdb_client = {
    "tokens": [{"secret": lab_secret("influxdb/metrics"), "file": "/etc/influxdb-metrics.token"}],
}
