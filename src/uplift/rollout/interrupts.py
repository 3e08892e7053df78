"""Ctrl-C in a run: the first one finishes the hosts in progress and holds, the second stops now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Signals to this process, while the context is open.

    Args:
        tell: is called with what the first signal means.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.asked = threading.Event()
        self.now = threading.Event()
        self._tell = tell
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set():
            self.now.set()
            raise KeyboardInterrupt
        self.asked.set()
        self._tell(
            "interrupted: the hosts in progress are finished, then the run holds; "
            "once more stops it now"
        )
