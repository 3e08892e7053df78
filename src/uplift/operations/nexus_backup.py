"""Shell functions that take and check backups of a Nexus.

A backup is the whole data folder of the stopped server: database, blobs, ``etc`` and ``keystores``
of one moment. What would not be in it is refused before the server stops: blob stores in other
places and databases on other hosts. Reading back means three things: each blob has the SHA-1 that
Nexus wrote beside it, a server of the same image opens the database and calls itself writable, and
it has as many repositories as the running one, with as many components on the first pages.
"""

from __future__ import annotations

from uplift.operations.backup_script import assignments
from uplift.operations.backup_server import SERVER
from uplift.spec.container.units import memory_bytes
from uplift.spec.http import quote
from uplift.spec.nexus import tls
from uplift.spec.nexus.backup import NexusBackup
from uplift.spec.nexus.server import JAVA_OPTIONS
from uplift.spec.secret import Secret

HOOKS = r"""
# $1 the data folder of the server that is asked from here on.
context_of() {
  context=$(sed -n 's/^[ \t]*nexus-context-path[ \t]*[=:][ \t]*\([^ \t\r]*\).*/\1/p' \
    "$1/etc/nexus.properties" 2>/dev/null | tail -n 1 | sed 's:/*$::')
  ready=$context/service/rest/v1/status/writable
}
# $1 path, $2 file of the answer.
ask() {
  code=$(request -o "$2" -D "$new/head" -w '%{http_code}' "$base$context/service/rest/$1" \
    </dev/null 2>"$new/curl") || {
      echo "the server does not answer: $(head -n 1 "$new/curl")" >"$new/why"; return 1; }
  case $code in
    200) ;;
    401|403) echo "the server does not take $user with the password of the settings ($code)" \
        >"$new/why"
      return 1 ;;
    *) echo "the server answers $code to $1" >"$new/why"; return 1 ;;
  esac
}
# One object of a list a line, without objects in it.
objects() { tr -d '\n' <"$1" | sed 's/: *{[^{}]*}/: 0/g; s/}/}\n/g'; }
# The value of key $1 in each line.
values() { sed -n 's/.*"'"$1"'" *: *"\([^"]*\)".*/\1/p'; }
# Lines "word number" of what a server holds: its repositories, and how many components are on the
# first page of each, which grows only while there are few.
holdings() {
  ask v1/repositories "$new/asked" || return 1
  grep -o '"name" *: *"[^"]*"' "$new/asked" | values name >"$new/repositories"
  listed=0
  while read -r repository; do
    ask "v1/components?repository=$repository" "$new/asked" || continue
    listed=$((listed + $(grep -o '"assets" *:' "$new/asked" | wc -l)))
  done <"$new/repositories"
  echo "repositories $(wc -l <"$new/repositories")"
  echo "listed $listed"
  sed -n 's:^[Ss]erver\: Nexus/\([^ ]*\).*:version \1:p' "$new/head"
}
# Whether what is told in file $1 is at least what is told in file $2.
holds() {
  [ "$(number repositories "$1")" = "$(number repositories "$2")" ] &&
    [ "$(number listed "$1")" -ge "$(number listed "$2")" ] && return 0
  echo "backup: $(tr '\n' ' ' <"$new/facts"), server: $(tr '\n' ' ' <"$new/live")" >"$new/why"
  return 1
}
environment() { state_of '{{range .Config.Env}}{{println .}}{{end}}'; }
# Whether the data folder is all that there is.
nothing_outside() {
  others=$(state_of '{{range .Mounts}}{{if .RW}}{{if ne .Type "tmpfs"}}{{println .Destination}}{{end
    }}{{end}}{{end}}' | grep -vxF -e "$data" -e '' | tr '\n' ' ')
  [ -z "$others" ] || {
    echo "the container writes to ${others}as well, which is in no backup of $data" >"$new/why"
    return 1; }
  if environment | grep -qi 'jdbc:postg' ||
    grep -qsi 'jdbc:postg' "$src/etc/fabric/nexus-store.properties" "$src/etc/nexus.properties"
  then
    echo "its database is a PostgreSQL, which is in no backup of $data" >"$new/why"
    return 1
  fi
  ask v1/blobstores "$new/asked" || return 1
  objects "$new/asked" >"$new/stores"
  while read -r object; do
    store=$(printf '%s\n' "$object" | values name) kind=$(printf '%s\n' "$object" | values type)
    [ -n "$store" ] || continue
    case $kind in
      Group) continue ;;
      File) ask "v1/blobstores/file/$store" "$new/asked" || return 1
        where=$(tr -d '\n' <"$new/asked" | values path) ;;
      *) where="storage of type $kind" ;;
    esac
    case $where in
      *..*) ;;
      "$data"/*|/opt/sonatype/sonatype-work/nexus3/*) continue ;;
      /*|"storage of "*|'') ;;
      *) continue ;;
    esac
    echo "blob store $store is in ${where:-an unknown place}, which is in no backup of $data" \
      >"$new/why"
    return 1
  done <"$new/stores"
}
ask_live() { context_of "$src"; live; nothing_outside && holdings >"$new/live"; }
compare() {
  holds "$new/facts" "$new/live" && return 0
  # Somebody may have made or deleted something between the question and the stop.
  ask_live && holds "$new/facts" "$new/live"
}
# Lines of sha1sum for the blobs in $1; those that were deleted wait for nothing but to be removed.
blobs() {
  find "$1" -type f -path '*/content/*' -name '*.properties' -print0 | xargs -0 -r awk '
    function out() {
      if (sum != "" && !gone) print sum "  " substr(file, 1, length(file) - 10) "bytes" }
    FNR == 1 { out(); file = FILENAME; sum = ""; gone = 0 }
    /^sha1=/ { sum = substr($1, 6) }
    /^deleted=true/ { gone = 1 }
    END { out() }'
}
# A blob that is damaged on the server as well is a line of the manifest, no reason for no backup.
blobs_whole() {
  blobs "$1" >"$new/blobs" || { echo "the blobs cannot be listed" >"$new/why"; return 1; }
  sha1sum -c --quiet "$new/blobs" 2>/dev/null | sed -n 's/: FAILED.*$//p' >"$new/bad"
  [ -e "$new/listed" ] || return 0
  while read -r one; do
    of=$src/${one#"$1"/}
    if [ -e "$one" ] || [ -e "$of" ]; then
      cmp -s "$one" "$of" || {
        echo "blob ${one#"$1"/} is not what the server has" >"$new/why"; return 1; }
    fi
  done <"$new/bad"
}
read_back() {
  context_of "$1"
  blobs_whole "$1" || return 1
  java=$(environment | sed -n 's/^@java@=//p')
  # No network: nothing that the backup holds can act on the world. Of several limits Java takes the
  # last.
  # The keystore of its TLS, without which it would not start, is not in its data.
  tls=$(state_of '{{range .Mounts}}{{if eq .Destination "@tls@"}}{{.Source}}{{end}}{{end}}')
  dk run -d --network none --log-driver json-file --name "$scratch" -v "$1:$data" \
    ${tls:+-v "$tls:@tls@:ro"} \
    -e "@java@=$java -Xms$heap -Xmx$heap -XX:MaxDirectMemorySize=$heap" \
    "$image" >/dev/null 2>"$new/why" || return 1
  inside
  waiting_for "$scratch" && holdings >"$new/facts" || return 1
  echo "blobs $(wc -l <"$new/blobs")" >>"$new/facts"
  [ ! -s "$new/bad" ] || echo "damaged_blobs $(wc -l <"$new/bad")" >>"$new/facts"
  dk rm -f "$scratch" >/dev/null
}
# Nothing at all, or a server with its first password and not one blob.
is_empty() {
  [ -n "$(find "$src" -mindepth 1 -print -quit)" ] || return 0
  [ -s "$src/admin.password" ] &&
    [ -z "$(find "$src" -type f -path '*/content/*' -name '*.bytes' -print -quit)" ]
}
serves() {
  context_of "$src"
  waiting_for "$container" && holdings >"$new/live" && holds "$new/live" "$new/facts"
}
"""


def hooks(backup: NexusBackup) -> str:
    """Return the functions and the variables that they need.

    Args:
        backup: settings.
    """
    variables = {
        "server_port": str(backup.port),
        "user": backup.user,
        "heap": str(memory_bytes(backup.heap)),
        "start_limit": str(backup.start_limit),
    }
    own = HOOKS.replace("@java@", JAVA_OPTIONS).replace("@tls@", tls.INSIDE)
    return f"\n{assignments(variables)}{SERVER}{own}"


def login_file(user: str, password: Secret) -> str:
    """Return the file that gives curl the login; root alone may read it.

    Args:
        user: an administrator.
        password: of that user.
    """
    return f"user = {quote(f'{user}:{password.reveal()}')}\n"
