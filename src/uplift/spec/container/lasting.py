"""Why a rollout does not bring the container of before back by itself."""

from __future__ import annotations

from uplift.spec.container.diff import same_image
from uplift.spec.container.image import Image
from uplift.spec.container.models import Container
from uplift.spec.container.plan import Plan, Preparation
from uplift.spec.container.state import State


def lasting(it: Container, todo: Plan, state: State, preparation: Preparation) -> str:
    """Return the reason; empty when it may be brought back.

    Args:
        it: as it shall be.
        todo: what is done about it.
        state: of the host.
        preparation: what is changed in its data before it starts.
    """
    real = state.containers.get(todo.found or "")
    if real is None:
        return ""
    if todo.found != it.name:
        return f"{it.name} was called {todo.found}"
    if preparation.why:
        return f"{', '.join(preparation.why)}: that is in the data of {it.name}"
    image = state.images.get(real["Image"], Image(real["Image"]))
    if it.stateful and not same_image(image, state.resolved[it.image]):
        return (
            f"another image on the data of {it.name}: the one before must not run on what this one "
            "may have written"
        )
    return ""
