"""Shell functions that name what stands at a path; the lines become ``uplift.spec.entry.Entry``."""

LOOK = r"""
export LC_ALL=C
line() { printf '%s' "$1"; shift; printf '\t%s' "$@"; printf '\n'; }
rights() { stat -L -c '%a %u:%g' "$1"; }
hash() { [ ! -L "$1" ] && [ -f "$1" ] && sha256sum <"$1" | cut -c 1-64; }
look() {
  if [ -L "$2" ]; then line "$1" link "" "$(readlink "$2")"
  elif [ -d "$2" ]; then line "$1" folder "$(rights "$2")" ""
  elif [ -f "$2" ]; then line "$1" file "$(rights "$2")" "$3"
  elif [ -e "$2" ]; then line "$1" other "" ""
  else line "$1" absent "" ""; fi
}
""".strip()
"""``look WORD PATH [SHA256]`` prints a line: word, kind, rights, detail, with tabs between."""
