"""Values for hosts of the group `services`: registry, Nexus, InfluxDB, Redis."""

# Services are not restarted by surprise: a change of daemon.json that would stop running
# containers is refused. live_restore lets them live on.
docker = {
    "log_driver": "json-file",
    # Services write more than applications.
    "log_opts": {"max_size": "50m", "max_file": 5},
    "live_restore": True,
}

# A registry for your own images: `uplift secrets set registry/ci`, and at the top
# `from uplift.secrets import secret`. Hosts trust it by docker.registries, and log in by clients.
# registry = {
#     # distribution 2 or 3; a digest (registry@sha256:…) pins the very image.
#     "image": "registry:2",
#     # Of this host, where clients reach it. Any but a loopback address needs tls.
#     "address": "10.0.0.5",
#     "port": 5000,
#     # The names that clients use. The controller's own CA signs a certificate for them, unless
#     # you give yours: "certificate": "certs/registry.crt", "key": secret("registry/key").
#     "tls": {"names": ["registry.example.com"]},
#     # Who may pull and push; nobody else may.
#     "users": [
#         {"name": "ci", "password": secret("registry/ci")},
#     ],
#     # Where images are kept, and whether they may be deleted.
#     "volume": "registry",
#     "delete": True,
#     # Limits of the container.
#     "memory": "512m",
#     "pids_limit": 512,
# }

# Nexus in a container, and what it holds: `uplift secrets set nexus/admin`, and at the top
# `from uplift.secrets import secret`. Repositories, roles, users, …: docs/nexus.md.
# nexus = {
#     "container": {
#         # Raising the version is an upgrade; there is no way back but the copy that is made of the
#         # data. A digest as well (…:3.85.0@sha256:…) pins the very image.
#         "image": "sonatype/nexus3:3.85.0",
#         # Where programs reach it. It speaks without encryption unless `tls` is set: an address
#         # other than this host's own needs that, or a proxy with TLS in front.
#         "address": "127.0.0.1",
#         # Signed by the controller's own CA; hosts trust it by certificates = {"own_ca": True}.
#         "tls": {"names": ["nexus.example.com"]},
#         "port": 28081,
#         # A volume, or a folder of the host.
#         "data": "nexus-data",
#         # For Java; by default a quarter of the host's memory each.
#         "heap": "2703m",
#         "direct_memory": "2703m",
#         # Keys of nexus.properties; others that stand there stay.
#         "properties": {"nexus.onboarding.enabled": "false"},
#     },
#     "admin": {"password": secret("nexus/admin")},
# }

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

# InfluxDB 2.7 and what it holds: `uplift secrets set influxdb/admin`, …, and at the top
# `from uplift.secrets import secret`.
# influxdb = {
#     "container": {
#         # The official image; 2.7.12 is the last 2.7. A digest pins the very image.
#         "image": "influxdb:2.7.12",
#         # Where programs reach it. Another address than this host's own needs a firewall or a
#         # network that you trust: it speaks without encryption.
#         "address": "127.0.0.1",
#         "port": 8086,
#         # A volume, or a folder of the host.
#         "data": "influxdb",
#         "memory": "2g",
#         # Further settings of influxd.
#         "environment": {"INFLUXD_LOG_LEVEL": "warn"},
#     },
#     # What an empty server is set up with; later the way in. The token is the operator's, and you
#     # choose it: `openssl rand -hex 32 | uplift secrets set influxdb/operator`.
#     "setup": {
#         "user": "admin",
#         "password": secret("influxdb/admin"),
#         "organisation": "main",
#         "bucket": "default",
#         "token": secret("influxdb/operator"),
#     },
#     # "infinite" when left out. A shorter one deletes points: it needs "allow_data_loss": True.
#     "buckets": [{"name": "default"}, {"name": "metrics", "retention": "30d"}],
#     "users": [{"name": "reader", "password": secret("influxdb/reader")}],
#     "tokens": [
#         # Kept in secrets.age, for the hosts whose `influxdb_client` names it (apps.py). Another
#         # word under "rotation" asks for a new one in place of the old one.
#         {"description": "telegraf", "write": ["metrics"], "secret": secret("influxdb/telegraf"),
#          "rotation": "2026-11"},
#         # Kept in a file of this host.
#         {"description": "report", "read": ["metrics"], "file": "/etc/report/influxdb.token",
#          "owner": "report"},
#     ],
# }

# Backups by a timer of the host; each is read back before it counts (docs/backup.md).
# backups = {
#     "influxdb": {
#         # A folder of the host, or user@host:/folder; one for each host.
#         "target": "backup@nas.example.com:/srv/backup/db-1",
#         # The target's /etc/ssh/ssh_host_ed25519_key.pub. The host makes a key of its own, and the
#         # first run prints the line for authorized_keys.
#         "ssh": {"host_key": "ssh-ed25519 AAAA…"},
#         # OnCalendar of systemd.
#         "schedule": "*-*-* 03:15:00",
#         # The newest three, and the newest of each of 7 days and of 4 weeks.
#         "keep": {"last": 3, "daily": 7, "weekly": 4},
#         "token": secret("influxdb/operator"),
#     },
#     # Stopped while its data is copied: at a time when nobody needs it.
#     "nexus": {
#         "target": "/srv/backup",
#         "schedule": "Sun 04:00",
#         "max_age_hours": 170,
#         "password": secret("nexus/admin"),
#     },
# }
