"""The gate before a push: shell text that looks for secrets in all that an image carries."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from uplift.spec.errors import UpliftError
from uplift.spec.images import Image
from uplift.spec.images.tokens import CREDENTIALS, FILES, TOKENS, masks
from uplift.spec.secret import Secret

SHORTEST = 8
"""Characters of a secret that can be looked for without finding it by chance."""

# Needs $work, a folder on disk, and $keys, one in memory with the files that patterns() writes.
# Layers are read one by one: what a later one deletes is in an earlier one still.
GATE = r"""
# $1 a text, $2 what it is: shown is the name before a value, or how a token begins
gate_text() {
  if [ -s "$keys/exact" ] && grep -qaF -f "$keys/exact" "$1"; then
    echo "a secret of this build is in the image's $2"
  fi
  grep -aoE -f "$keys/tokens" -f "$keys/words" "$1" | grep -v EXAMPLE |
    sed -e 's/[=:].*//' -e 't named' -e 's/^\(.\{4\}\).*/\1/' -e ':named' \
      -e "s/$/…: looks like a secret in the image's $2/"
}
allowed() {
  while IFS= read -r pattern; do
    case $1 in $pattern) return 0 ;; esac
  done <"${control:-$keys/allowed}"
  return 1
}
# $1 a folder with the files of one layer
gate_layer() {
  find "$1" -type f -size +0 \( @names@ \) | while IFS= read -r file; do
    allowed "${file#"$1"/}" || echo "/${file#"$1"/}: such a file holds logins"
  done
  if [ -s "$keys/exact" ]; then
    { grep -rlaF -f "$keys/exact" "$1" || :; } | while IFS= read -r file; do
      echo "/${file#"$1"/}: holds a secret of this build"
    done
  fi
  { grep -rlaE -f "$keys/tokens" "$1" || :; } | while IFS= read -r file; do
    grep -aohE -f "$keys/tokens" "$file" | grep -qv EXAMPLE || continue
    allowed "${file#"$1"/}" || echo "/${file#"$1"/}: holds what looks like a token"
  done
}
# $1 the archive of a layer: whether a file of it may be one of those. Most layers have none, and to
# unpack one takes many times as long as to read it.
suspicious() {
  ! tar -tf "$1" | grep -qE '(^|/)(@ends@)$' || return 0
  [ ! -s "$keys/exact" ] || ! may_hold "$1" -F exact || return 0
  may_hold "$1" -E tokens
}
# What could not be searched as one is searched file by file.
may_hold() { tar -xOf "$1" 2>/dev/null | grep -qa "$2" -f "$keys/$3"; [ "$?" != 1 ]; }
# $1 the archive of a layer
gate_archive() {
  suspicious "$1" || return 0
  mkdir "$work/layer"
  tar -xf "$1" -C "$work/layer" --no-same-owner --exclude='dev/*' || return 2
  gate_layer "$work/layer"
  chmod -R u+rwX "$work/layer"
  rm -rf "$work/layer"
}
# A search that does not work finds nothing either: first it has to find what is planted.
gate_works() {
  control=/dev/null
  mkdir "$work/control"
  echo planted >"$work/control/.netrc"
  printf 'glpat-%020d\n' 0 | tee "$work/control/token" >"$work/token"
  [ ! -s "$keys/exact" ] || head -n 1 "$keys/exact" >"$work/control/exact"
  for file in "$work"/control/* "$work"/control/.netrc; do
    tar -cf "$work/control.tar" -C "$work/control" "${file##*/}"
    [ "$(gate_archive "$work/control.tar" | wc -l)" = 1 ] || return 1
  done
  control=; rm -r "$work/control" "$work/control.tar"
  case $(gate_text "$work/token" text) in *"looks like a secret"*) ;; *) false ;; esac
}
# $1 an image: 0 when nothing was found, 1 when something was, 2 when it could not be read
gate() {
  gate_works || return 2
  docker history --no-trunc --format '{{.CreatedBy}} {{.Comment}}' "$1" >"$work/history" &&
    docker image inspect --format '{{range .Config.Env}}{{println .}}{{end}}{{println .Config.Cmd
      .Config.Entrypoint}}' "$1" >"$work/environment" &&
    docker image inspect --format '{{range $key, $value := .Config.Labels}}{{$key}}={{println $value
      }}{{end}}' "$1" >"$work/labels" &&
    docker image inspect --format '{{range .RootFS.Layers}}{{println .}}{{end}}' "$1" |
      sort -u | grep . >"$work/layers" || return 2
  for part in history environment labels; do gate_text "$work/$part" "$part"; done >"$work/found"
  mkdir "$work/saved"
  # Into a pipe: a file would be written twice, and waited for until it is on the disk.
  { docker save "$1"; echo "$?" >"$work/code"; } | tar -x -C "$work/saved" &&
    [ "$(cat "$work/code")" = 0 ] || return 2
  find "$work/saved" -type f >"$work/blobs"
  count=0
  while IFS= read -r blob; do
    # Beside layers there are documents.
    tar -tf "$blob" >/dev/null 2>&1 || continue
    count=$((count + 1))
    gate_archive "$blob" >>"$work/found" || return 2
    rm "$blob"
  done <"$work/blobs"
  rm -rf "$work/saved"
  # A layer that was not read was not looked through.
  [ "$count" -ge "$(wc -l <"$work/layers")" ] || return 2
  [ -s "$work/found" ] || return 0
  sort -u "$work/found" | head -n 40
  return 1
}
""".replace("@names@", " -o ".join(f"-name {name}" for name in FILES)).replace(
    "@ends@", "|".join(FILES).replace(".", "[.]")
)


def patterns(image: Image, secrets: Mapping[str, Secret], dockerfile: str) -> str:
    """Return shell text that writes what the gate looks for, and masks, into ``$keys``; secret.

    Args:
        image: of the settings.
        secrets: what its build gets, by id; a login of the index as ``netrc-login``, which is
            never given to a build but looked for.
        dockerfile: of its build.

    Raises:
        UpliftError: a secret is too short to be looked for.
    """
    exact = sorted({form for name, it in secrets.items() for form in _forms(image, name, it)})
    files = {
        "exact": exact,
        "tokens": TOKENS,
        "words": CREDENTIALS,
        "masks": masks(dockerfile),
        "allowed": image.gate_allows,
    }
    return "".join(f'{put(_lines(lines))} >"$keys/{name}"\n' for name, lines in files.items())


def put(text: str) -> str:
    """Return shell text that prints a text: the shell's own printf, so it is in no process list.

    Args:
        text: what is printed.
    """
    return f"printf %s '{base64.b64encode(text.encode()).decode()}' | base64 -d"


def _forms(image: Image, name: str, secret: Secret) -> Iterable[str]:
    lines = [line for line in secret.reveal().splitlines() if line.strip()]
    for line in lines:
        if len(lines) == 1 and len(line) < SHORTEST:
            msg = (
                f"{image.name}: the secret for {name!r} is shorter than {SHORTEST} characters: "
                "nobody could tell whether the image holds it"
            )
            raise UpliftError(msg)
        if len(line) >= SHORTEST:
            yield line
            yield quote(line, safe="")
            yield base64.b64encode(line.encode()).decode()


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
