"""How a rollout goes: the block `rollout`, a YAML file of it, and what the command line says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from uplift.spec.base import Block
from uplift.spec.duration import human, seconds
from uplift.spec.rollout.budget import Budget
from uplift.spec.secret import SecretRef

OnFailure = Literal["hold", "revert-wave", "revert-fleet"]
Moment = Literal["start", "wave-end", "failure", "end"]


def length(value: object) -> int:
    """Read a length of time in seconds: ``30s``, ``1h30m``, or none at all as ``0``.

    Args:
        value: as it was written.

    Raises:
        ValueError: it is something else.
    """
    if value in (0, "0", "0s"):
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    try:
        found = seconds(value)
    except ValueError:
        found = 0
    if not found:
        msg = "write a length of time that ends, as '30s' or '1h30m'"
        raise ValueError(msg)
    return found


Length = Annotated[int, BeforeValidator(length)]


def _at_least(least: int) -> BeforeValidator:
    def check(value: object) -> int:
        if (found := length(value)) < least:
            msg = f"a length of time of at least {human(least)}"
            raise ValueError(msg)
        return found

    return BeforeValidator(check)


def _words(value: object) -> object:
    """Take ``1,25%,100%`` as three words, one word alone as one, and numbers as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (str(value),)
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, list | tuple):
        return tuple(
            str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in value
        )
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def address(url: str) -> SplitResult:
    """Return the parts of an address that a hook can be at.

    Args:
        url: as it was written.

    Raises:
        ValueError: it is none; what was found is not in the words.
    """
    try:
        found = urlsplit(url)
    except ValueError:
        found = SplitResult("", "", "", "", "")
    if found.scheme not in ("http", "https") or not found.netloc:
        msg = "no address: write http:// or https://, and a host"
        raise ValueError(msg) from None
    return found


def host(url: str) -> str:
    """Return what may be shown of the address of a hook; the rest may be a token.

    Args:
        url: an address.
    """
    return address(url).netloc.rpartition("@")[2]


def shown(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record of the journal as it may be printed: of addresses of hooks, the hosts.

    Args:
        record: any; it stays as it is.
    """
    hooks = record.get("request", {}).get("policy", {}).get("hooks", ())
    if not hooks:
        return record
    told = [
        {**one, "url": f"{address(one['url']).scheme}://{host(one['url'])}/..."}
        if isinstance(one["url"], str) and one["url"]
        else one
        for one in hooks
    ]
    request = record["request"]
    return {**record, "request": {**request, "policy": {**request["policy"], "hooks": told}}}


class Hook(Block):
    """A program or an address that is told of a moment, with the facts as JSON.

    Args:
        at: the moment.
        run: program with its arguments; it reads the facts from standard input.
        url: address that the facts are posted to; a reference where it holds a token.
        timeout: seconds; a hook that takes longer has failed.
        required: a failure of the hook is one of the run (only at start and wave-end).
    """

    at: Moment
    run: tuple[str, ...] = ()
    url: str | SecretRef = ""
    timeout: Annotated[int, _at_least(1)] = 30
    required: bool = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | SecretRef) -> str | SecretRef:
        if isinstance(url, str) and url and "@" in address(url).netloc:
            msg = (
                "it holds a password: store the address with `uplift secrets set hooks/team`, and "
                "write secret('hooks/team')"
            )
            raise ValueError(msg)
        return url

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.run) == bool(self.url):
            msg = "a hook has either `run` or `url`"
            raise ValueError(msg)
        if self.required and self.at not in ("start", "wave-end"):
            msg = "required: only at start and wave-end, when something can still be stopped"
            raise ValueError(msg)
        return self


class Policy(Block):
    """Waves, tests between them, and what is done when something fails.

    Args:
        waves: one word a wave: a number of hosts, percent of the selected ones, a group, a pattern
            of host names, or a group with a size (``apps:25%``).
        gate: folders or files of tests; none: no tests between waves.
        bake: seconds (or ``5m``) for which a wave must pass its gate before the next one begins.
        on_failure: hold: stop, and leave hosts as they are; revert-wave: put the hosts of the wave
            back; revert-fleet: those of all waves, the newest first.
        partial_revert: a revert is wanted though not everything in the run has a way back.
        budget: how many hosts may fail.
        skip_unreachable: leave hosts out that cannot be reached at the start.
        pause_after: numbers of waves after which a person must approve.
        hooks: who is told of what.
        quiet: seconds without a word from any host of a wave after which its changes are given up,
            and for one run of the tests.
        lease: seconds after which the locks of a run that has died are free.
    """

    waves: Words = ("1", "25%", "100%")
    gate: Words = ()
    bake: Length = 0
    on_failure: OnFailure = "hold"
    partial_revert: bool = False
    budget: Budget = Budget()
    skip_unreachable: bool = False
    pause_after: tuple[Annotated[int, Field(ge=1)], ...] = ()
    hooks: tuple[Hook, ...] = ()
    quiet: Annotated[int, _at_least(1)] = 3600
    lease: Annotated[int, _at_least(10)] = 60

    def but(self, **changes: Any) -> Self:
        """Return the policy with what the command line says; None is what it did not say.

        Args:
            changes: fields.

        Raises:
            SettingsError: a value is wrong.
        """
        said = {name: value for name, value in changes.items() if value is not None}
        return self.parse({**self.model_dump(), **said}, path="", source="command line")
