"""What stands against the wanted state on this server: found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uplift.spec.nexus.api import unknown
from uplift.spec.nexus.check import is_servers_own
from uplift.spec.nexus.fields import changes
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.prune import unconfirmed
from uplift.spec.nexus.realms import lock_outs
from uplift.spec.nexus.state import State
from uplift.spec.nexus.things import Thing, as_sent, seen

_FOLDED = ("blob store", "routing rule", "content selector", "cleanup policy", "repository")
"""Kinds whose names the server takes for the same in capital and small letters."""


def refusals(settings: Nexus, wanted: Sequence[Thing], state: State) -> list[str]:
    """Return every reason not to begin, each with the object, the finding and the remedy.

    Args:
        settings: what the server shall hold.
        wanted: its objects.
        state: what the server holds.
    """
    return [
        *_licence(settings, state),
        *lock_outs(settings, state),
        *_version(settings, state),
        *_unmanaged(settings, state),
        *_privileges(settings, state),
        *(line for it in wanted for line in _thing(it, state)),
        *unconfirmed(settings, state),
    ]


def _licence(settings: Nexus, state: State) -> Iterator[str]:
    open_ = state.eula is not None and state.eula.get("accepted") is not True
    if open_ and not settings.accept_eula:
        text = (state.eula or {}).get("disclaimer", "")
        yield (
            f"{state.version} serves no packages before its licence is accepted: {text} "
            "Read it, and set accept_eula = True"
        )


def _version(settings: Nexus, state: State) -> Iterator[str]:
    if settings.cleanup_policies and state.version.cleanup is None:
        yield f"cleanup_policies: {state.version} has no call for them; from 3.29.1 on there is one"
    for it in settings.repositories:
        authentication = it.http_client.authentication if it.http_client else None
        if authentication and authentication.bearer_token and not state.version.bearer_tokens:
            yield f"repository {it.name}: {state.version} has no bearerToken, 3.76 and later have"
        if it.docker and it.docker.path_enabled and not state.version.docker_paths:
            yield f"repository {it.name}: {state.version} has no path_enabled, 3.83 and later have"


def _unmanaged(settings: Nexus, state: State) -> Iterator[str]:
    for key, names in settings.unmanaged:
        kind = {
            "blob_stores": "blob store",
            "repositories": "repository",
            "cleanup_policies": "cleanup policy",
            "routing_rules": "routing rule",
            "content_selectors": "content selector",
            "privileges": "privilege",
            "roles": "role",
        }[key]
        known = state.objects.get(kind, {})
        for name in names:
            if name not in known:
                text = unknown(kind, name, known)
                yield f"unmanaged.{key}: {text.replace('in these settings', 'on the server')}"
    own = {it.name for it in settings.repositories}
    for it in settings.repositories:
        for name in it.group.member_names if it.group else ():
            format = (state.there("repository", name) or {}).get("format", it.format)
            if name not in own and format != it.format:
                yield f"repository {it.name}: its member {name!r} is {format}, not {it.format}"


def _privileges(settings: Nexus, state: State) -> Iterator[str]:
    known = state.objects.get("privilege", {})
    for role in settings.all_roles:
        for name in role.privileges:
            if is_servers_own(name) and name not in known:
                text = unknown("privilege", name, [it for it in known if is_servers_own(it)])
                yield f"role {role.id}: {text.replace('in these settings', 'on the server')}"


def _thing(it: Thing, state: State) -> Iterator[str]:
    subject = f"{it.kind} {it.name}"
    held = state.objects.get(it.kind, {})
    there = held.get(it.name)
    if there is None:
        same = [name for name in held if name.casefold() == it.name.casefold()]
        if same and it.kind in _FOLDED:
            yield f"{subject}: the server has it as {same[0]!r}; write its name as it is there"
        return
    kind = f"{there.get('format')} {there.get('type')}"
    if it.kind == "repository" and it.what != kind:
        yield f"{subject}: is {kind}, wanted is {it.what}: it {_ANOTHER}"
        return
    if it.kind == "privilege" and it.what != there.get("type"):
        yield f"{subject}: is of type {there.get('type')}, wanted is {it.what}: it {_ANOTHER}"
        return
    if it.kind == "blob store" and there.get("type") != "File":
        yield f"{subject}: is of type {there.get('type')}; only stores of files are managed"
        return
    shown = as_sent(it, there)
    found = changes(it.wanted, shown, seen(it, shown))
    for change in found:
        if change.path in it.rules.fixed:
            yield f"{subject}: {change}: {it.rules.fixed[change.path]}"
    if found and there.get("readOnly") is True:
        yield f"{subject}: is the server's own and cannot be changed: {found[0]}"
    client, wanted = shown.get("httpClient") or {}, it.wanted.get("httpClient") or {}
    if found and client.get("authentication") and "authentication" not in wanted:
        yield (
            f"{subject}: {found[0]}: the server has credentials for its remote, does not show "
            "them, and would forget them; put http_client.authentication into the settings, or "
            "None if they may go"
        )


_ANOTHER = "cannot be changed; give it another name, or delete the one that is there by hand"
