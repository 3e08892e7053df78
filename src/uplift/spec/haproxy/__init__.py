"""HAProxy on a host: wanted state, configuration, and which slot of each application serves."""

from uplift.spec.haproxy.models import Bind, Certificate, Haproxy, Timeouts

__all__ = ["Bind", "Certificate", "Haproxy", "Timeouts"]
