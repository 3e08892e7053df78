"""Shell text of the job that builds: steps, what failed, pushing, joining, the cache."""

from __future__ import annotations

from uplift.facts.images_listing import REACH

BEGIN = r"""
set -u
umask 077
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" BUILDKIT_PROGRESS=plain
work=$(mktemp -d /var/tmp/uplift-images.XXXXXX) || exit 1
keys=$(mktemp -d /dev/shm/uplift-images.XXXXXX) || exit 1
trap 'rm -rf "$work" "$keys"' EXIT
trap 'exit 143' TERM
fail() { echo "images: $1"; exit "${2:-1}"; }
# A line of others' words that holds a secret is not shown, and of one that holds what looks like a
# secret the rest. Lines come whole: half a secret would not be known.
quiet() {
  if [ -s "$keys/exact" ]; then grep --line-buffered -avF -f "$keys/exact"; else cat; fi |
    if [ -s "$keys/masks" ]; then LC_ALL=C sed -u -E -f "$keys/masks"; else cat; fi
}
# $1 reference: its digest, or nothing; 1 when the registry did not answer
digest() {
  answer=$(ask "$1" "$registry") || return 1
  case ${answer##*
} in
    200) printf %s "$answer" | tr -d '\n' |
      sed -n 's/.*"digest" *: *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' ;;
    000) return 1 ;;
  esac
}
# That a tag never moves is proven by what was pushed under it.
remember() {
  install -d -m 0700 "${record%/*/*}" "${record%/*}"
  { [ ! -e "$record" ] || grep -vF "$fixed " "$record" | tail -n 5000; echo "$fixed $there"
  } >"$record.new"
  sync "$record.new"; mv "$record.new" "$record"
}
# $1 image, $2 reference
push() {
  docker tag "$1" "$2" || fail "$2 could not be named"
  docker push "$2" >"$work/push" 2>&1 || {
    tail -n 8 "$work/push" | quiet
    fail "$2 was not pushed: may root of this host log in to $registry and write there?"
  }
}
"""

# What failed is said by the lines of its own step; BuildKit numbers them.
BUILD = r"""
why() {
  step=$(sed -n 's/^#\([0-9]*\) ERROR.*/\1/p' "$work/log" | tail -n 1)
  if [ -n "$step" ]; then grep "^#$step " "$work/log" | tail -n 40
  else tail -n 20 "$work/log"; fi
  grep '^ERROR' "$work/log" | tail -n 1 | quiet | cut -c 1-500
}
# Whether an index refuses a login: it is asked, as pip says no more than that there is no such
# package; where this host does not reach it, uv and Poetry say it. A base that could not be pulled
# is no step that runs anything.
refused() {
  [ -n "$index" ] && why >"$work/why" && head -n 1 "$work/why" | grep -q '\] RUN ' || return 0
  asked=$(index_login | curl -sL -o /dev/null -w '%{http_code}' --max-time 20 --config -) || :
  case $asked in 401 | 403) ;; *) printed_refused || return 0 ;; esac
  if [ -n "$index_user" ]; then
    echo "images: $index refuses the user '$index_user' with the password of today:"
    echo "images: uplift secrets set $index_secret, or give this user that password there"
  else echo "images: $index wants a login: give 'index' a username and a password"
  fi
}
printed_refused() {
  grep -aqiE '(http|status|error|code)[^0-9]{1,30}40[13]([^0-9]|$)|credentials not correct|'\
'40[13] (client error|error|unauthorized|forbidden)' "$work/why"
}
# Who waits sees each step begin and end; what steps print is kept for when one fails.
steps() {
  known=' '
  while IFS= read -r line; do
    number=${line%% *}
    case $number:${line#"$number "} in
      "#"*:"[internal]"*) ;;
      "#"*:"["*) known="$known$number "; printf '%.150s\n' "$line" ;;
      "#"*:"DONE "* | "#"*:CACHED) case $known in *" $number "*) echo "$line" ;; esac ;;
    esac
  done
}
# $1 image, $2 platform: BuildKit takes a base that is for one platform alone for any, and labels
# the result as if it were another. So programs say what they are made for: it is in their headers.
fits() {
  case $2 in
    linux/amd64) machine="3e 00" ;; linux/386) machine="03 00" ;; linux/arm64) machine="b7 00" ;;
    linux/arm/v7) machine="28 00" ;; linux/ppc64le) machine="15 00" ;;
    linux/s390x) machine="00 16" ;; linux/riscv64) machine="f3 00" ;; *) return 0 ;;
  esac
  container=$(docker create "$1" none 2>/dev/null) || return 1
  mkdir "$work/programs"
  docker export "$container" | tar -x -C "$work/programs" --no-same-owner --wildcards \
    'bin/*' '*/bin/*' 2>/dev/null
  docker rm "$container" >/dev/null
  find "$work/programs" -type f -size +0 | head -n 200 | while IFS= read -r file; do
    od -An -tx1 -v -w20 -N20 "$file"
  done | sed -n 's/^ 7f 45 4c 46 .* \(.. ..\)$/\1/p' | sort -u >"$work/machines"
  chmod -R u+rwX "$work/programs"; rm -rf "$work/programs"
  [ ! -s "$work/machines" ] || grep -qxF "$machine" "$work/machines"
}
# $1 platform, or empty: $image is the image, looked through
make() {
  platform=$1
  { build; echo "$?" >"$work/code"; } 2>&1 </dev/null | tee "$work/log" | quiet | steps
  [ "$(cat "$work/code")" = 0 ] || {
    why | quiet; refused; fail "$fixed was not built"; }
  image=$(cat "$work/id") || fail "$fixed: the build named no image"
  fits "$image" "$platform" ||
    fail "$fixed: built for $1, its programs are for another machine: does its base have $1?"
  echo "images: $fixed is looked through for secrets${1:+ ($1)}"
  gate "$image"; code=$?
  [ "$code" != 2 ] || fail "$fixed could not be looked through for secrets, and is not pushed"
  [ "$code" = 0 ] || { docker image rm "$image" >/dev/null 2>&1
    fail "$fixed holds secrets, and is not pushed"; }
}
# Whether another host was faster: its image stays.
is_there() {
  there=$(digest "$fixed") || fail "$registry does not answer"
  [ -n "$there" ]
}
pushed() { is_there || fail "$fixed was pushed, but its registry does not have it"; remember; }
"""

ONE = r"""
make "$platforms"
is_there || { echo "images: $fixed is pushed"; push "$image" "$fixed"; pushed; }
"""

# Docker pushes images of one platform each; the list that joins them is written by hand, to the
# registry itself.
_LIST = (
    r"""
host=$at repository=$path known=$registry scope=pull,push
trouble() { fail "$1"; }
"""
    + REACH
    + r"""
# $1 tag: the list in $work/list goes there
put() {
  code=$(get "$base/v2/$repository/manifests/$1" "$as
request = \"PUT\"
header = \"Content-Type: $(sed -n 's/.*"mediaType":"\([^"]*\)","manifests".*/\1/p' "$work/list")\"
data-binary = \"@$work/list\"")
  [ "$code" = 201 ] || { head -c 500 "$work/body" | quiet; echo
    fail "$name:$1 was not pushed (status $code): may root of this host write there?"; }
}
"""
)

SEVERAL = (
    r"""
entries= kind=
for platform in $platforms; do
  make "$platform"
  part=$fixed-$(printf %s "${platform#linux/}" | tr -d /)
  echo "images: $part is pushed"
  push "$image" "$part"
  answer=$(ask "$part" "$registry" | tr -d '\n')
  entry=$(printf %s "$answer" | sed -n 's/.*"Descriptor" *: *{\([^}]*\)}.*/\1/p')
  is=$(printf %s "$answer" | sed -n 's/.*"Platforms" *: *\[ *\({[^}]*}\).*/\1/p')
  case $entry in
    *vnd.oci.*) kind=application/vnd.oci.image.index.v1+json ;;
    *digest*) kind=${kind:-application/vnd.docker.distribution.manifest.list.v2+json} ;;
    *) fail "$part was pushed, but its registry does not have it" ;;
  esac
  entries="${entries:+$entries,}{$entry,\"platform\":$is}"
done
is_there || {
"""
    + _LIST
    + r"""
  printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' "$kind" "$entries" >"$work/list"
  put "${fixed##*:}"
  echo "images: $fixed joins $platforms"
  pushed
}
"""
)

MOVE = r"""
docker pull -q "$name@$there" >"$work/pull" 2>&1 || {
  tail -n 3 "$work/pull"; fail "$name@$there could not be pulled"; }
push "$name@$there" "$moving"
now=$(digest "$moving") || fail "$registry does not answer"
[ "$now" = "$there" ] || fail "$moving is $now at its registry, and not $there"
"""

# Docker would pull and push one platform of a list: the list itself is read, and written.
MOVE_LIST = (
    _LIST
    + r"""
code=$(get "$base/v2/$repository/manifests/$there" "$(accept)
$as")
[ "$code" = 200 ] || fail "$name@$there could not be read (status $code)"
mv "$work/body" "$work/list"
put "${moving##*:}"
now=$(digest "$moving") || fail "$registry does not answer"
[ "$now" = "$there" ] || fail "$moving is $now at its registry, and not $there"
"""
)

PRUNE = r"""
# The cache is for the next build; older parts of it go first.
docker buildx --builder default prune -f --keep-storage "$limit" >/dev/null 2>&1 ||
  echo "images: the builder's cache could not be cut"
"""

FORGET = r"""
# Images of earlier builds are at their registry. Those stay here that a container has, that a
# release on this host ran, and that the settings name.
stays() {
  grep -qsxF "$1" "$work/used" || grep -qsx "local $1" "$releases"/*/*/outcome ||
    grep -qsF " $1" "$containers"/*/releases || {
    for tag in $kept; do
      [ "$(docker image inspect --format '{{.Id}}' "$name:$tag" 2>/dev/null)" != "$1" ] || return 0
    done
    return 1
  }
}
# $1 what one build pushed, with its parts for platforms: only names of this repository go.
forget() {
  for id in $(docker image ls -q --no-trunc --filter "reference=$1*" | sort -u); do
    ! stays "$id" || continue
    names=$(docker image inspect --format '{{join .RepoTags " "}} {{join .RepoDigests " "}}' "$id")
    for one in $names; do
      # A digest goes with the last tag of its repository, and is gone then.
      case $one in "$name:"* | "$name@"*) docker image rm "$one" >/dev/null 2>&1 || : ;; esac
    done
  done
}
if ids=$(docker ps -aq --no-trunc) && { [ -z "$ids" ] ||
    docker inspect --type container --format '{{.Image}}' $ids >"$work/used"; } 2>/dev/null
then
  awk -v name="$name:" 'index($1, name) == 1 { print $1 }' "$record" | head -n "-$keep" \
    >"$work/old"
  while IFS= read -r old; do forget "$old"; done <"$work/old"
else echo "images: what containers have could not be read: images of earlier builds stay"
fi
"""
