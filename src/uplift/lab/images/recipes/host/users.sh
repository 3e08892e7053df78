#!/bin/sh
# Users and sshd of a lab host. Argument: Debian's release.
set -eu
for user in deploy app ci; do
  useradd --create-home --shell /bin/bash "$user"
done
chmod 0440 /etc/sudoers.d/deploy
visudo --check --quiet
rm -f /etc/ssh/ssh_host_*_key*
mkdir -p /etc/ssh/authorized_keys.d
# Debian 13 punishes the address of failed logins, and all controllers come from one gateway.
if [ "$1" != bookworm ]; then
  echo "PerSourcePenalties no" >> /etc/ssh/sshd_config.d/10-lab.conf
fi
