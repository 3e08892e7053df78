"""What holds for all unit tests."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine is no bug. The same examples each time, so that a change is judged by
# what it changed; `scripts/test properties` looks for new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("same")
