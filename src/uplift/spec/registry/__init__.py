"""A container registry with users and TLS: settings, what a host has, and the difference."""

from uplift.spec.registry.models import Registry, Tls, User

__all__ = ["Registry", "Tls", "User"]
