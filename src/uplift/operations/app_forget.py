"""Shell text that takes away records and images of releases that nothing needs any more."""

from __future__ import annotations

FORGET = r"""
# $1 name of an image, with its tag or digest, as Docker tells it
is_own() {
  repository=${1%%@*}
  case ${repository##*/} in *:*) repository=${repository%:*} ;; esac
  for known in $repositories; do [ "$known" != "$repository" ] || return 0; done
  return 1
}
names_of() {
  each='{{range .RepoTags}}{{println .}}{{end}}{{range .RepoDigests}}{{println .}}{{end}}'
  dk image inspect --format "$each" "$1" 2>/dev/null
}
# Images that a container has stay, and so does what has a name in another repository: somebody gave
# it that, and nothing here says that it is not needed.
forget() {
  for one in $stale; do rm -rf "${records:?}/${one:?}"; done
  for one in $unused; do
    # Of another application of the same repository, or a release that stays.
    ! grep -rqsx "local $one" @releases@/*/*/outcome || continue
    names=$(names_of "$one") || continue
    for its in $names; do
      ! is_own "$its" || dk rmi "$its" >/dev/null 2>&1 || :
    done
    # With its last name Docker removes an image by itself; one without any is named by its id.
    names=$(names_of "$one") || continue
    [ -n "$names" ] || dk rmi "$one" >/dev/null 2>&1 || :
  done
}
"""
