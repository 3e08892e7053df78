"""The wanted state of a container, what differs from the real one, and what is done about it."""

from uplift.spec.container.health import Health, Http
from uplift.spec.container.models import Container, Keep, Logging, Mount, Network, Port, Ulimit

__all__ = [
    "Container",
    "Health",
    "Http",
    "Keep",
    "Logging",
    "Mount",
    "Network",
    "Port",
    "Ulimit",
]
