#!/bin/sh
# As the official image: options alone mean redis-server; root gives /data to redis and steps down.
set -eu
case "${1:-}" in
  "" | -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
  shift
  # Protected mode would refuse everybody but the container itself: its ports decide who gets in.
  set -- redis-server "$@" --bind 0.0.0.0 --protected-mode no --dir /data
  if [ "$(id -u)" = 0 ]; then
    chown -R redis:redis /data
    exec setpriv --reuid redis --regid redis --clear-groups "$@"
  fi
fi
exec "$@"
