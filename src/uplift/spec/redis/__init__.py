"""Redis: what is wanted, the container that it runs in, and how the running server differs."""

from uplift.spec.redis.models import Redis

__all__ = ["Redis"]
