"""Values for hosts of the group `services`: registry, Nexus, InfluxDB."""

# Services are not restarted by surprise: a change of daemon.json that would stop running
# containers is refused. live_restore lets them live on.
docker = {
    "log_driver": "json-file",
    # Services write more than applications.
    "log_opts": {"max_size": "50m", "max_file": 5},
    "live_restore": True,
}
