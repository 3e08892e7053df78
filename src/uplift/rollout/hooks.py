"""Programs and addresses that are told of a run: when it begins, after waves, when it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from uplift.secrets import resolve
from uplift.spec.errors import UpliftError, UsageError
from uplift.spec.rollout.journal import Run
from uplift.spec.rollout.policy import Hook, Moment, address, host
from uplift.spec.secret import SecretRef

OUTPUT_SHOWN = 400  # characters


class HookError(UpliftError):
    """Report that a hook failed which the policy requires."""


def facts(run: Run, **more: Any) -> dict[str, Any]:
    """Return what every hook is told of a run, as plain data.

    Args:
        run: that hooks are told of.
        more: what belongs to the moment.
    """
    return {
        "run": run.id,
        "inventory": run.request["inventory"],
        "deploys": run.request["deploys"],
        "hosts": dict(run.hosts),
        "waves": [list(wave) for wave in run.waves],
        **more,
    }


def call(
    hooks: Iterable[Hook],
    moment: Moment,
    facts: Mapping[str, Any],
    warn: Callable[[str], None],
) -> None:
    """Tell every hook of a moment.

    Args:
        hooks: of the policy.
        moment: that has come.
        facts: plain data without secrets; each hook gets it as JSON.
        warn: is called with what went wrong with a hook that is not required.

    Raises:
        HookError: a required hook failed.
    """
    for hook in hooks:
        if hook.at != moment:
            continue
        problem = _told(hook, json.dumps({"moment": moment, **facts}))
        if problem and hook.required:
            raise HookError(problem)
        if problem:
            warn(problem)


def _told(hook: Hook, text: str) -> str:
    """Return what went wrong, or nothing."""
    return _posted(hook, text) if hook.url else _ran(hook, text)


def _ran(hook: Hook, text: str) -> str:
    name = f"hook {hook.run[0]}"
    try:
        process = subprocess.Popen(
            hook.run,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            # Whatever it prints, it must not end the run.
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return f"{name}: {error.strerror}"
    with process:
        try:
            output, complaints = process.communicate(text, hook.timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"{name}: not done within {hook.timeout} s"
        except BaseException:
            _end(process)
            raise
    said = (complaints or output).strip()[-OUTPUT_SHOWN:]
    return f"{name}: exit code {process.returncode}: {said}" if process.returncode else ""


def _end(process: subprocess.Popen[str]) -> None:
    """End a hook with all that it has begun: it leads a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def check(hooks: Iterable[Hook]) -> None:
    """Refuse hooks that cannot be told of anything, before the first moment.

    Args:
        hooks: of the policy.

    Raises:
        UsageError: a program is not there, or a secret address is missing or is none.
    """
    for hook in hooks:
        if hook.run and shutil.which(hook.run[0]) is None:
            raise UsageError(
                f"hook {hook.run[0]}: there is no such program (seen from {Path.cwd()}), or it may "
                "not be executed"
            )
        if isinstance(hook.url, SecretRef):
            _address(hook.url)


def _address(url: str | SecretRef) -> str:
    if isinstance(url, str):
        return url
    found = resolve(url).reveal()
    try:
        address(found)
    except ValueError as error:
        raise UsageError(f"the hook at {url}: {error}") from None
    return found


def _posted(hook: Hook, text: str) -> str:
    try:
        url = _address(hook.url)
    except UsageError as error:
        return str(error)
    name = f"hook at {host(url)}"
    try:
        answer = requests.post(
            url,
            data=text,
            headers={"Content-Type": "application/json"},
            timeout=hook.timeout,
        )
    except requests.RequestException as error:
        return f"{name}: {type(error).__name__}"
    return "" if answer.ok else f"{name}: answered {answer.status_code}"
