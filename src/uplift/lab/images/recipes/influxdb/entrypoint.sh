#!/bin/sh
# As the official image: options alone mean influxd; root gives the folders away and steps down.
# Not as there: DOCKER_INFLUXDB_INIT_* does nothing, because it needs the influx client. It says so.
set -eu
if [ -n "${DOCKER_INFLUXDB_INIT_MODE:-}" ]; then
  echo "DOCKER_INFLUXDB_INIT_MODE is not supported by this image: use POST /api/v2/setup" >&2
  exit 1
fi
case "${1:-}" in
  "" | -* | run) set -- influxd "$@" ;;
esac
if [ "$1" = influxd ] && [ "$(id -u)" = 0 ]; then
  chown -R influxdb:influxdb /var/lib/influxdb2 /etc/influxdb2
  chmod 0700 /var/lib/influxdb2
  exec setpriv --reuid influxdb --regid influxdb --clear-groups "$@"
fi
exec "$@"
