#!/bin/sh
# First process of a light host: its own host keys, then sshd, which logs to the container's log.
set -eu
ssh-keygen -A
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e
