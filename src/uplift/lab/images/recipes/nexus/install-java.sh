#!/bin/sh
# Install Debian's Java as /opt/java. Argument: its major version.
# A version that this release of Debian lacks comes from sid, which is asked for nothing else.
set -eu
package="openjdk-$1-jre-headless"
apt-get update
if [ -z "$(apt-cache madison "$package")" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
    head -n 1)
  echo "deb $mirror sid main" > /etc/apt/sources.list.d/sid.list
  printf 'Package: *\nPin: release n=sid\nPin-Priority: 50\n' > /etc/apt/preferences.d/sid
  apt-get -o Acquire::Check-Valid-Until=false update
fi
apt-get install -y --no-install-recommends "$package"
update-ca-certificates
ln -s "/usr/lib/jvm/java-$1-openjdk-$(dpkg --print-architecture)" /opt/java
rm -f /etc/apt/sources.list.d/sid.list /etc/apt/preferences.d/sid
apt-get clean
rm -rf /var/lib/apt/lists/*
