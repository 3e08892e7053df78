"""How much of the fleet may fail before a rollout stops, by class of failure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from uplift.spec.base import Block

Class = Literal["unreachable", "change_failed", "gate_failed"]


def share(value: object) -> str:
    """Check a number of hosts or percent of the fleet, and return it as text.

    Args:
        value: as ``2``, ``"2"`` or ``"10%"``.

    Raises:
        ValueError: it is something else.
    """
    text = str(value)
    number, percent = text.removesuffix("%"), text.endswith("%")
    if isinstance(value, bool) or not (number.isascii() and number.isdigit()):
        msg = "write a number of hosts (2) or percent of the selected hosts (10%)"
        raise ValueError(msg)
    if percent and int(number) > 100:
        msg = f"{text} is more than all hosts"
        raise ValueError(msg)
    return text


Share = Annotated[str, BeforeValidator(share)]


class Budget(Block):
    """Hosts that may fail in a whole run, each class for itself; one more stops the rollout.

    A host that failed is never counted as done: the run then ends with exit code 3.

    Args:
        unreachable: cannot be reached, before its change or in it.
        change_failed: an operation failed.
        gate_failed: a test fails that was good before.
    """

    unreachable: Share = "0"
    change_failed: Share = "0"
    gate_failed: Share = "0"

    def allows(self, kind: Class, failed: int, total: int) -> bool:
        """Tell whether so many failures are within the budget.

        Args:
            kind: of failure.
            failed: hosts of this class in the run so far.
            total: hosts that are selected.
        """
        return failed <= allowed(getattr(self, kind), total)


def allowed(text: str, total: int) -> int:
    """Return how many hosts a share is, rounded down: a small fleet is not given one for nothing.

    Args:
        text: a checked share.
        total: hosts that are selected.
    """
    if text.endswith("%"):
        return total * int(text[:-1]) // 100
    return int(text)
