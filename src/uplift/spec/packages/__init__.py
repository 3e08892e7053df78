"""Packages in the repositories of an index server: settings, what is served, and the difference.

``models`` what stands in the group data, ``artifact`` one file to publish, ``pages`` what indexes
say about files, ``served`` what is asked of a server and what it answers, ``plan`` what has to be
published and what must not be.
"""

from uplift.spec.packages.artifact import Artifact, Hashes, named
from uplift.spec.packages.models import Package, Packages, Repository
from uplift.spec.packages.plan import Finding, Plan, Status, plan
from uplift.spec.packages.served import Served, Sum, understand

__all__ = [
    "Artifact",
    "Finding",
    "Hashes",
    "Package",
    "Packages",
    "Plan",
    "Repository",
    "Served",
    "Status",
    "Sum",
    "named",
    "plan",
    "understand",
]
