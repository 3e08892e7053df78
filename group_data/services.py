"""Values for hosts of the group `services`: registry, Nexus, InfluxDB, Redis."""

# Services are not restarted by surprise: a change of daemon.json that would stop running
# containers is refused. live_restore lets them live on.
docker = {
    "log_driver": "json-file",
    # Services write more than applications.
    "log_opts": {"max_size": "50m", "max_file": 5},
    "live_restore": True,
}

# Redis, append-only and behind a password: `uplift secrets set redis/password`, and at the top
# `from uplift.secrets import secret`.
# redis = {
#     # Redis 7 or 8; a digest (redis@sha256:…) pins the very image.
#     "image": "redis:8",
#     # Where programs reach it. Another address than this host's own needs a firewall or a network
#     # that you trust: Redis speaks without encryption.
#     "address": "127.0.0.1",
#     "port": 6379,
#     # Of the user `default`. Nobody gets in without it.
#     "password": secret("redis/password"),
#     # Memory for data, and what goes when it is full; noeviction refuses writes.
#     "maxmemory": "512m",
#     "maxmemory_policy": "noeviction",
#     # Each write goes to a file, which is synced each second; "always" loses no answered write.
#     "appendonly": True,
#     "appendfsync": "everysec",
#     # Further keys of redis.conf, as they are written there.
#     "config": {"save": "3600 1 300 100"},
# }
