"""Shell functions that take and check backups of an InfluxDB 2.7.

A backup is the server's data as it stands on its volume: ``influxd.bolt`` and ``influxd.sqlite``
from ``/api/v2/backup/metadata`` and, of each shard, the files of ``/api/v2/backup/shards/ID``. The
server builds the index of a shard that has none when it starts. So a restore needs neither a
running server nor its token, and keeps tombstones: ``/api/v2/restore/shards`` leaves them out and
brings deleted points back.
"""

from __future__ import annotations

from uplift.operations.backup_script import assignments
from uplift.operations.backup_server import SERVER
from uplift.spec.http import quote
from uplift.spec.influxdb.backup import InfluxBackup
from uplift.spec.secret import Secret

HOOKS = r"""
# The answer has three parts: the key-value store, the SQL store, and all buckets with their shards.
metadata() {
  rm -rf "$new/meta"; mkdir "$new/meta"
  code=$(request -D "$new/meta/head" -o "$new/meta/all" -w '%{http_code}' \
    "$base/api/v2/backup/metadata" 2>"$new/why") || return 1
  case $code in
    200) ;;
    401|403) echo "the server does not take the operator token of the settings ($code)" >"$new/why"
      return 1 ;;
    *) echo "the server answers $code to /api/v2/backup/metadata" >"$new/why"; return 1 ;;
  esac
  mark=--$(tr -d '\r' <"$new/meta/head" |
    sed -n 's/^[Cc]ontent-[Tt]ype:.*boundary="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p')
  grep -abo -F -e "$mark" "$new/meta/all" | cut -d : -f 1 >"$new/meta/at"
  [ "$(wc -l <"$new/meta/at")" = 4 ] || {
    echo "the server's answer is not whole" >"$new/why"; return 1; }
  begin=
  while read -r end; do
    [ -z "$begin" ] || part "$begin" "$end" || return 1
    begin=$end
  done <"$new/meta/at"
  [ -s "$new/meta/kv" ] && [ -s "$new/meta/sql" ] && tail -n 1 "$new/meta/buckets" | grep -q ']$' ||
    { echo "the server's answer has not the parts kv, sql and buckets" >"$new/why"; return 1; }
  grep -o '"organizationID":"[0-9a-f]*"\|"bucketID":"[0-9a-f]*"' "$new/meta/buckets" |
    cut -d '"' -f 4 | paste -d ' ' - - >"$new/meta/ids"
}
# $1, $2: where the part begins and where the next one does.
part() {
  cut_out "$1" 1024 | sed '/^\r$/q' >"$new/meta/header"
  called=$(sed -n 's/^Content-Disposition:.*name="\([a-z]*\)".*/\1/p' "$new/meta/header")
  from=$(($1 + $(wc -c <"$new/meta/header")))
  case $called in kv|sql|buckets) ;;
    *) echo "the server sends an unknown part $called" >"$new/why"; return 1 ;; esac
  cut_out "$from" $(($2 - 2 - from)) >"$new/meta/$called"
}
cut_out() {
  dd if="$new/meta/all" bs=64K skip="$1" count="$2" iflag=skip_bytes,count_bytes status=none
}
count() {
  text='from(bucketID: "%s") |> range(start: 1677-09-21T00:12:44Z, stop: 2262-04-11T23:47:16Z)'
  printf "$text"' |> count() |> group() |> sum()' "$2" |
    request -H 'Content-Type: application/vnd.flux' -H 'Accept: application/csv' \
      -w '\n%{http_code}\n' --data-binary @- "$base/api/v2/query?orgID=$1" 2>>"$new/why" |
    tr -d '\r' | awk -F , '
      NF == 1 && /^[0-9][0-9][0-9]$/ { code = $0; next }
      NF < 2 { next }
      !col { for (i = 1; i <= NF; i++) if ($i == "_value") col = i
        if (!col) { bad = $0; exit }
        next }
      { sum = $col }
      END { if (code != 200 || bad) exit 1
        print sum ? sum : "0" }'
}
# Lines "word number" of what a server holds.
holdings() {
  metadata || return 1
  echo "buckets $(wc -l <"$new/meta/ids")"
  [ "$count_points" = yes ] || return 0
  total=0
  while read -r org bucket; do
    one=$(count "$org" "$bucket") || {
      echo "the points of bucket $bucket cannot be counted; $(why)" >"$new/why"; return 1; }
    total=$((total + one))
  done <"$new/meta/ids"
  echo "points $total"
}
ask_live() { live; holdings >"$new/live"; }

take_online() {
  tries=0
  while :; do
    since=$(date +%s)
    take_once "$1" || return 1
    # The server says so when it leaves out what it has not written to files yet.
    dk logs --since "$since" "$container" >"$new/log" 2>&1 || {
      echo "the server's log cannot be read: $(tail -n 1 "$new/log")" >"$new/why"; return 1; }
    grep -q 'Snapshotter busy' "$new/log" || return 0
    tries=$((tries + 1))
    [ "$tries" -lt 5 ] || {
      echo "the server is busy with snapshots of its own" >"$new/why"; return 1; }
    sleep 5
  done
}
take_once() {
  live
  find "$1" -mindepth 1 -delete
  metadata || return 1
  mv "$new/meta/kv" "$1/influxd.bolt"; mv "$new/meta/sql" "$1/influxd.sqlite"
  mkdir -p "$1/engine/data"
  for shard in $(grep -o '"id":[0-9]*,"shardOwners"' "$new/meta/buckets" | tr -dc '0-9\n'); do
    code=$(request -o "$new/shard" -w '%{http_code}' "$base/api/v2/backup/shards/$shard" \
      2>"$new/why") || return 1
    # Shards that are past the retention go away at any time.
    [ "$code" != 404 ] || continue
    # An error in the middle comes after the status: the archive must have its end, at the end.
    [ "$code" = 200 ] && [ "$(tail -c 1024 "$new/shard" | tr -d '\0' | wc -c)" = 0 ] &&
      tar -C "$1/engine/data" --no-same-owner -xf "$new/shard" 2>"$new/why" || {
        echo "shard $shard did not come whole ($code) $(why)" >"$new/why"; return 1; }
  done
  rm -f "$new/shard"
  chown -R "$(stat -c %u:%g "$src")" "$1"
}
# Points that came while the backup ran may be in it or not; points that went are no loss.
compare() {
  buckets=$(number buckets "$new/facts") points=$(number points "$new/facts")
  if [ "$buckets" = "$(number buckets "$new/live")" ] &&
    [ "${points:-0}" -ge "$(number points "$new/live" | grep . || echo 0)" ]; then return 0; fi
  mv "$new/live" "$new/before"
  ask_live || return 1
  [ "$buckets" = "$(number buckets "$new/live")" ] &&
    [ "${points:-0}" -ge "$(number points "$new/live" | grep . || echo 0)" ] && return 0
  echo "backup: $buckets buckets, ${points:--} points; server:" \
    "$(tr '\n' ' ' <"$new/before")then $(tr '\n' ' ' <"$new/live")" >"$new/why"
  return 1
}

read_back() {
  said=$(limit=7200; dk run --rm --network none --name "$scratch" --entrypoint influxd \
    -v "$1:$data:ro" "$image" inspect verify-tsm --engine-path "$data/engine" 2>&1)
  case $said in *"Broken Blocks: 0 / "*) ;;
    *) printf 'influxd inspect verify-tsm: %s' "$(printf %s "$said" | tail -n 3)" >"$new/why"
      return 1 ;;
  esac
  # Neither network nor tasks: nothing that the backup holds can act on the world.
  dk run -d --network none --log-driver json-file --name "$scratch" -v "$1:$data" "$image" influxd \
    --bolt-path "$data/influxd.bolt" --sqlite-path "$data/influxd.sqlite" \
    --engine-path "$data/engine" --http-bind-address "127.0.0.1:$server_port" --no-tasks \
    --reporting-disabled >/dev/null 2>"$new/why" || return 1
  inside
  waiting_for "$scratch" && holdings >"$new/facts" || return 1
  dk logs "$scratch" >"$new/log" 2>&1 || { mv "$new/log" "$new/why"; return 1; }
  ! grep 'Failed to open shard' "$new/log" >"$new/why" || return 1
  dk rm -f "$scratch" >/dev/null
}
# Only a server that says itself that nobody has set it up is empty.
is_empty() {
  live
  $in curl -q -s --noproxy '*' --max-time 10 "$base/api/v2/setup" 8>&- 9>&- |
    grep -q '"allowed": *true'
}
serves() {
  waiting_for "$container" && holdings >"$new/live" || return 1
  [ "$(number buckets "$new/live")" = "$(number buckets "$new/facts")" ] &&
    [ "$(number points "$new/live" | grep . || echo 0)" -ge \
      "$(number points "$new/facts" | grep . || echo 0)" ] && return 0
  echo "backup: $(tr '\n' ' ' <"$new/facts"), server: $(tr '\n' ' ' <"$new/live")" >"$new/why"
  return 1
}
"""


def hooks(backup: InfluxBackup) -> str:
    """Return the functions and the variables that they need.

    Args:
        backup: settings.
    """
    variables = {
        "server_port": str(backup.port),
        "count_points": "yes" if backup.count_points else "no",
        "start_limit": str(backup.start_limit),
        "ready": "/health",
    }
    return f"\n{assignments(variables)}{SERVER}{HOOKS}"


def token_file(token: Secret) -> str:
    """Return the file that gives curl the token; root alone may read it.

    Args:
        token: the server's operator token.
    """
    return f"header = {quote(f'Authorization: Token {token.reveal()}')}\n"
