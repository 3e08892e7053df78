"""Images of the lab: pulled where a registry answers, else built from package registries alone.

Each image is cached on the local Docker Engine under the hash of its inputs
(``uplift-lab/<name>:<hash>``), so that asking again costs one look-up.
"""

from __future__ import annotations

from uplift.lab.images.catalog import NAMES, lab_tag
from uplift.lab.images.store import Image, ensure, remove, stored

__all__ = ["NAMES", "Image", "ensure", "lab_tag", "remove", "stored"]
