#!/bin/sh
# Add certificates to Java's trust store, wherever this image has it. Argument: their folder.
set -eu
[ -n "$(find "$1" -name '*.crt')" ] || exit 0
java=$(readlink -f "$(command -v java || find / -xdev -type f -path '*/bin/java' | head -n 1)")
home=$(dirname "$(dirname "$java")")
store=$(find -L "$home" -name cacerts -type f | head -n 1)
keytool=$(find -L "$home" -name keytool -type f | head -n 1)
find "$1" -name '*.crt' | while read -r file; do
  "$keytool" -importcert -noprompt -storepass changeit -keystore "$store" \
    -alias "uplift-$(basename "$file" .crt)" -file "$file"
done
