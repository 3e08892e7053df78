"""The ``uplift`` command: parse, call, print; no logic."""
