"""What all tests stand on."""

import logging
import signal
from collections.abc import Iterator

import pytest

# A shell that starts the tests in its background has SIGINT ignored, and children would inherit
# that: those which are to be interrupted would not hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _pyinfra_tells_everything() -> Iterator[None]:
    """Let pyinfra log all it can in every test, whatever ran before: what is said is looked at."""
    logger = logging.getLogger("pyinfra")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(before)
