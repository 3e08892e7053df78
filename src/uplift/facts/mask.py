"""Shell text that shows output without secrets."""

from __future__ import annotations

MASK = r"""
# Secrets are told apart as text: no pattern, no quoting.
masked() {
  awk 'FILENAME == ARGV[1] { if (length($0) > 3) secret[++count] = $0; next }
    { rest = $0
      for (i = 1; i <= count; i++) {
        line = ""
        while (at = index(rest, secret[i])) {
          line = line substr(rest, 1, at - 1) "********"
          rest = substr(rest, at + length(secret[i]))
        }
        rest = line rest
      }
      print rest }' "$dir/mask" -
}
""".lstrip()
"""``masked`` is a filter; what must not be shown is in ``$dir/mask``, a line each."""
