#!/bin/sh
# First process of the container. Java's options come in the official image's variable.
set -eu
mkdir -p /nexus-data/etc /nexus-data/log /nexus-data/tmp
export EXTRA_JAVA_OPTS="${INSTALL4J_ADD_VM_PARAMS:-} ${EXTRA_JAVA_OPTS:-}"
# "server", because "console" reads standard input and ends at once in a container.
exec /opt/sonatype/nexus/bin/nexus server
