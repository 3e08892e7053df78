"""Values for the lab's host of services (inventories/lab.py), beside those of lab.py."""

from shutil import which

from uplift import controller
from uplift.secrets import lab_secret

# Only these names are data; the rest of the file is how they are made.
__all__ = ["backups", "influxdb", "nexus", "packages", "redis", "registry"]


def _family(format: str, remote: str | None) -> list[dict[str, object]]:
    """Return a hosted repository, the proxy of a public one where there is one, and their group."""
    storage = {"blob_store_name": "packages"}
    hosted = {"format": format, "type": "hosted", "name": f"{format}-private", "storage": storage}
    proxy = {
        "format": format,
        "type": "proxy",
        "name": f"{format}-public",
        "storage": storage,
        "proxy": {"remote_url": remote},
        "cleanup": {"policy_names": [f"{format}-unused"]},
    }
    members = [hosted, proxy] if remote else [hosted]
    group = {
        "format": format,
        "type": "group",
        "name": format,
        # The first member that has a package answers: one's own before the public one.
        "group": {"member_names": [member["name"] for member in members]},
    }
    return [*members, group]


registry = {
    "image": "registry:5000/registry:2",
    # Hosts of the lab reach it over the lab's own network, and nobody else does.
    "address": "0.0.0.0",  # noqa: S104
    "tls": {"names": ["lab-1"]},
    "users": [{"name": "deployer", "password": lab_secret("registry/deployer")}],
}

nexus = {
    "container": {
        "image": "registry:5000/sonatype/nexus3:3.30.0",
        # Hosts of the lab reach it over the lab's own network, and nobody else does.
        "address": "0.0.0.0",  # noqa: S104
        # As little as it runs with: by default it takes a quarter of the host's memory, twice.
        "heap": "512m",
        "direct_memory": "512m",
        # Quick to start, on a busy machine too; a server that stays gains more without it.
        "java_options": ["-XX:TieredStopAtLevel=1"],
        # A host that is a container itself may not set it.
        "nofile": None,
    },
    "admin": {"password": lab_secret("nexus/admin")},
    "realms": {"active": ["NpmToken"]},
    "blob_stores": [
        {"name": "packages", "soft_quota": {"type": "spaceUsedQuota", "limit": "20GB"}},
    ],
    # Nobody asked for it in two months: a proxy can fetch it again.
    "cleanup_policies": [
        {"name": f"{format}-unused", "format": format, "criteria_last_downloaded": 60}
        for format in ("pypi", "npm")
    ],
    "compactions": [{"name": "Compact packages", "blob_store_name": "packages"}],
    "repositories": [
        *_family("pypi", controller.python_remote()),
        *_family("npm", controller.npm_remote()),
        *_family("raw", None),
        *_family("maven2", None),
        {"format": "pypi", "type": "hosted", "name": "pypi-candidates"},
        {"format": "raw", "type": "hosted", "name": "raw-installers"},
    ],
    "roles": [
        {"id": "watchers", "name": "watchers", "privileges": ["nx-metrics-all"]},
        {"id": "auditors", "name": "auditors", "privileges": ["nx-repository-admin-*-*-read"]},
    ],
    "users": [
        {
            "user_id": name,
            "first_name": name,
            "last_name": "of the lab",
            "email_address": f"{name}@lab.invalid",
            "password": lab_secret(f"nexus/{name}"),
            "roles": [f"{name}s"],
        }
        for name in ("watcher", "auditor")
    ],
    "deployers": {
        "repositories": ["pypi-private", "npm-private", "raw-private", "maven2-private"],
        "users": [{"user_id": "deployer", "password": lab_secret("nexus/deployer")}],
    },
    "readers": {
        "repositories": ["pypi", "npm", "raw", "maven2"],
        "users": [{"user_id": "reader", "password": lab_secret("nexus/reader")}],
    },
}

_NEXUS = "http://lab-1:28081/repository"
_DEPLOYER = {"username": "deployer", "password": lab_secret("nexus/deployer")}
_MAESTRO = "examples/maestro"

# The packages of the example, built here and published from this host.
packages = {
    "repositories": {
        "pypi-private": {"format": "pypi", "url": f"{_NEXUS}/pypi-private/", **_DEPLOYER},
        "npm-private": {"format": "npm", "url": f"{_NEXUS}/npm-private/", **_DEPLOYER},
    },
    "publish": [
        *(
            {
                "name": f"maestro-core-{name}",
                "repository": "pypi-private",
                "source": f"{_MAESTRO}/packages/maestro-core-{name}",
            }
            for name in ("logging", "config", "monitoring", "db", "api", "auth")
        ),
        # Packed by npm, which not every machine has.
        *(
            [
                {
                    "name": "@maestro/types",
                    "repository": "npm-private",
                    "source": f"{_MAESTRO}/npm/types",
                }
            ]
            if which("npm")
            else []
        ),
    ],
}

redis = {
    "image": "registry:5000/redis:8",
    # Hosts of the lab reach it over the lab's own network, and nobody else does.
    "address": "0.0.0.0",  # noqa: S104
    "password": lab_secret("redis/password"),
    "maxmemory": "256m",
    "maxmemory_policy": "allkeys-lru",
}

influxdb = {
    "container": {
        "image": "registry:5000/influxdb:2.7.12",
        # Hosts of the lab reach it over the lab's own network, and nobody else does.
        "address": "0.0.0.0",  # noqa: S104
        "memory": "1g",
    },
    "setup": {
        "user": "admin",
        "password": lab_secret("influxdb/admin"),
        "organisation": "lab",
        "bucket": "default",
        "token": lab_secret("influxdb/operator"),
    },
    "buckets": [
        {"name": "default"},
        {"name": "metrics", "retention": "30d", "shard_group_duration": "1d"},
    ],
    "users": [{"name": "reader", "password": lab_secret("influxdb/reader")}],
    # Hosts get it by the block `influxdb_client` of lab.py.
    "tokens": [
        {"description": "metrics", "write": ["metrics"], "secret": lab_secret("influxdb/metrics")},
    ],
}

backups = {
    "influxdb": {"target": "/srv/backup", "token": lab_secret("influxdb/operator")},
}
