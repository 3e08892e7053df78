"""What holds for all unit tests."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine is no bug.
settings.register_profile("uplift", deadline=None)
settings.load_profile("uplift")
