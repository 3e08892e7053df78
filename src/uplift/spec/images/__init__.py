"""Images that are built and pushed: settings, inputs and their hash, Dockerfiles, the gate."""

from uplift.spec.images.inputs import File, Inputs
from uplift.spec.images.models import Image, Images, Index
from uplift.spec.images.state import Found, Todo, parse, plan

__all__ = ["File", "Found", "Image", "Images", "Index", "Inputs", "Todo", "parse", "plan"]
