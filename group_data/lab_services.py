"""Values for the lab's host of services (inventories/lab.py), beside those of lab.py."""

from uplift.secrets import lab_secret

# Only these names are data; the rest of the file is how they are made.
__all__ = ["redis", "registry"]

registry = {
    "image": "registry:5000/registry:2",
    # Hosts of the lab reach it over the lab's own network, and nobody else does.
    "address": "0.0.0.0",  # noqa: S104
    "tls": {"names": ["lab-1"]},
    "users": [{"name": "deployer", "password": lab_secret("registry/deployer")}],
}

redis = {
    "image": "registry:5000/redis:8",
    "password": lab_secret("redis/password"),
    "maxmemory": "256m",
    "maxmemory_policy": "allkeys-lru",
}
