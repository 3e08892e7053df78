"""The script that brings one application of a host to its plan.

It is the script of the slot's container, and around it: the record of the release and its files
before, the switch of traffic after (``app_steps``).
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from uplift.operations.app_forget import FORGET
from uplift.operations.app_steps import BEFORE, MAIN, MARK, PUT, SWITCH
from uplift.operations.container_script import render as render_container
from uplift.spec.app.adopted import Adopted
from uplift.spec.app.kept import NOTHING, Surplus
from uplift.spec.app.models import FILES, App
from uplift.spec.app.plan import Todo
from uplift.spec.app.release import APPS, RELEASES, Release, restored
from uplift.spec.app.release import record as record_of
from uplift.spec.container.state import State
from uplift.spec.haproxy.backend import Backend
from uplift.spec.haproxy.models import CONFIG
from uplift.spec.http import quote
from uplift.spec.secret import Secret, SecretRef


def render(
    app: App,
    todo: Todo,
    state: State,
    values: Mapping[SecretRef, Secret],
    *,
    release: str,
    record: str,
    known: str = "",
    stale: Surplus = NOTHING,
    adopted: Sequence[Adopted] = (),
    key: bytes = b"",
    retiring: Release | None = None,
) -> str:
    """Return the shell text for a plan; it runs as one job and holds the secrets.

    Args:
        app: what is wanted.
        todo: what is done.
        state: what the plan was made for.
        values: of the secrets.
        release: id of the new release; empty when none is made.
        record: JSON of the release.
        known: id of the newest record that the plan was made with; empty when there was none.
        stale: records and images that go when all is well.
        adopted: containers of another tool that are recorded as releases.
        key: of the fingerprints that show secrets.
        retiring: that serves until then, where it is recorded.
    """
    head = "".join(
        f"{key}={shlex.quote(value)}\n"
        for key, value in {
            **_variables(app, todo, release),
            **_draining(app, values, retiring),
            **_backends(app, todo),
            "known": known,
            "stale": " ".join(stale.releases),
            "unused": " ".join(stale.images),
            "repositories": " ".join(stale.repositories),
        }.items()
    )
    container = app.container(todo.slot, release)
    plan = todo.container
    if todo.action == "tidy" and app.proxy == "haproxy":
        # What is done to it is done when it is known who takes over if that fails.
        plan = replace(plan, action="nothing", why=())
    switch = "" if app.proxy == "none" else SWITCH
    before = (
        f"{files_of(app)}{_record(values, record)}{_adopted(adopted, key)}{MARK}{FORGET}{BEFORE}"
    )
    then = f"{switch}{MAIN[_main(app, todo)]}"
    return _placed(f"{head}{before}{render_container(container, plan, state, values, then=then)}")


def _main(app: App, todo: Todo) -> str:
    alone = {"mend": "alone", "tidy": "close"}
    return alone.get(todo.action, todo.action) if app.proxy == "none" else todo.action


def _variables(app: App, todo: Todo, release: str) -> dict[str, str]:
    other = "green" if todo.slot == "blue" else "blue"
    return {
        "app": app.name,
        "slot": todo.slot,
        "other": other,
        "before": todo.before if todo.action in ("switch", "tidy") else "",
        "target_name": app.name_in(todo.slot),
        "other_name": app.name_in(other),
        "release": release,
        "files": "yes" if todo.files else "",
        "own_folder": app.folder,
        "prove": "yes" if todo.prove else "",
        "hold": str(app.hold),
    }


def _backends(app: App, todo: Todo) -> dict[str, str]:
    """Return HAProxy's backend before, while two releases have a place in it, and at the end."""
    before, after = todo.backend, Backend.of(app)
    if before is None:
        return {"backend_before": "", "backend_between": "", "backend_after": ""}
    found = {"before": before, "between": before.between(after, todo.slot), "after": after}
    return {
        f"backend_{moment}": " ".join([one.path, one.status, *map(str, one.ports)])
        for moment, one in found.items()
    }


def _draining(
    app: App, values: Mapping[SecretRef, Secret], retiring: Release | None
) -> dict[str, str]:
    """Return how the one of before is told: by the port, path and token that it knows itself."""
    before, token_file, header = app, "", _header(app, values)
    if retiring is not None:
        before = restored(retiring)
        token = before.drain.token
        number = retiring.secrets.get(token.secret) if token else None
        token_file = f"{RELEASES}/{app.name}/{retiring.id}/secrets/{number}" if number else ""
        header = header if token else ""
    return {
        "drain": str(max(app.drain.seconds, app.hold)),
        "drain_path": before.drain.path or "",
        "drain_timeout": str(app.drain.timeout),
        "drain_header": header,
        "drain_token": token_file,
        "http_port_of_app": str(before.port or ""),
    }


def _placed(text: str) -> str:
    words = {"apps": APPS, "releases": RELEASES, "files": FILES, "config": CONFIG}
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _header(app: App, values: Mapping[SecretRef, Secret]) -> str:
    if app.drain.token is None:
        return ""
    return _coded(f"header = {quote(f'Authorization: Bearer {values[app.drain.token].reveal()}')}")


def files_of(app: App) -> str:
    """Return the shell function that writes the application's own files.

    Args:
        app: with the text of its files.
    """
    puts = "".join(
        f' && put_file "$own_folder.new/{name}" {_coded(file.content or "")} 0444'
        for name, file in app.files.items()
    )
    return f"{PUT}write_files() {{ :{puts}; }}\n"


def _record(values: Mapping[SecretRef, Secret], record: str) -> str:
    puts = "".join(
        f' && put_file "$records/$release/secrets/{number}" {_coded(value.reveal())} 0400'
        for number, value in enumerate(values.values())
    )
    own = f'put_file "$records/$release/release.json" {_coded(record)} 0600'
    return f"write_record() {{ {own}{puts}; }}\n"


def _adopted(adopted: Sequence[Adopted], key: bytes) -> str:
    """Return the shell function that records the containers of another tool as releases."""
    lines = []
    for one in adopted:
        release = one.release
        prints = {ref.secret: value.fingerprint(key) for ref, value in one.values.items()}
        text = record_of(one.app, one.origin, release.id, release.secrets, prints)
        known = f"local {release.local}\nbuilder {release.builder}\n"
        lines += [
            f"adopt {release.id}",
            f'put_file "$records/{release.id}/release.json" {_coded(text)} 0600',
            *(
                f'put_file "$records/{release.id}/secrets/{number}" {_coded(value.reveal())} 0400'
                for number, value in enumerate(one.values.values())
            ),
            f"conclude {release.id} good {shlex.quote(known)}",
        ]
    return f"write_adopted() {{ {' && '.join([':', *lines])}; }}\n"


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "''"
