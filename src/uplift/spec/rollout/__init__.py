"""Staged rollouts, the pure part.

``policy`` what the settings say (with ``budget``), ``waves`` which hosts change together, ``gate``
how tests before and after a change compare, ``journal`` what a run has done and how far it is.
"""

from uplift.spec.rollout.policy import Policy

__all__ = ["Policy"]
