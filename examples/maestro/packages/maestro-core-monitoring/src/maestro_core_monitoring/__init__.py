"""Prometheus metrics of one service.

    metrics = Metrics(settings)
    with metrics.timed("import"):
        ...
    body, content_type = metrics.render()

Each :class:`Metrics` has a registry of its own, so that tests and programs with two services in one
process do not count into each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from maestro_core_config import Settings
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

__all__ = ["Metrics"]

# From a query in memory to a request that somebody gives up on; seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Count and time what a service does.

    Args:
        settings: name and version of the service, on every metric.
    """

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._done = Counter(
            "maestro_operations_total",
            "Operations, by name and outcome.",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self._time = Histogram(
            "maestro_operation_seconds",
            "Duration of operations.",
            ["operation"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        info = Gauge(
            "maestro_info",
            "What runs here.",
            ["service", "version", "environment"],
            registry=self.registry,
        )
        info.labels(settings.service, settings.version, settings.environment).set(1)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Time what is done inside, and count it as ``ok`` or, when it raises, ``error``.

        Args:
            operation: name of few values: never an id, or every request makes a series.
        """
        start = time.perf_counter()
        outcome = "error"
        try:
            yield
            outcome = "ok"
        finally:
            self._time.labels(operation).observe(time.perf_counter() - start)
            self._done.labels(operation, outcome).inc()

    def count(self, operation: str, outcome: str = "ok") -> float:
        """Return how often an operation has ended so.

        Args:
            operation: its name.
            outcome: ``ok`` or ``error``.
        """
        labels = {"operation": operation, "outcome": outcome}
        return self.registry.get_sample_value("maestro_operations_total", labels) or 0.0

    def render(self) -> tuple[bytes, str]:
        """Return the text for Prometheus, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
