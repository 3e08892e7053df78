"""A container from the outside: what Docker says of it, against what its settings say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from uplift.facts.container import Containers
from uplift.secrets import Secret, SecretRef
from uplift.spec.container.diff import same_image
from uplift.spec.container.image import NO_REGISTRY, Image, brief
from uplift.spec.container.models import OURS, Container
from uplift.spec.container.state import State, parse
from uplift.verify import secrets

if TYPE_CHECKING:
    from testinfra.host import Host


@dataclass(frozen=True)
class Found:
    """What is to be said of a container.

    Args:
        problems: what is not as the settings say.
        warnings: what is, and somebody should know; never a secret.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def look(host: Host, it: Container, patterns: Mapping[str, Secret]) -> Found:
    """Read a container by one command and compare it.

    Args:
        host: testinfra's, as root.
        it: what is wanted.
        patterns: what must not stand in ``docker inspect``, by names that can be shown.
    """
    # The fact's own script: it asks the registry as the deploy does, with the host's login.
    script = Containers().command([it]).get_raw_value()
    said = host.run(script, stdin=f"{token_hex(16)}\n")
    assert said.rc == 0, said.stderr
    return judge(it, parse(said.stdout.splitlines()), patterns)


def judge(it: Container, state: State, patterns: Mapping[str, Secret]) -> Found:
    """Compare a container with its settings.

    Args:
        it: what is wanted.
        state: of the host.
        patterns: what must not stand in ``docker inspect``.
    """
    found = state.containers.get(it.name)
    if found is None:
        return Found((f"there is no container {it.name}",))
    allowed = _exposed(it) if it.expose_in_environment else ()
    bad, known = shown(found, patterns, allowed)
    image, doubt = _image(it, found, state)
    problems = (*_running(found), *image, *_policy(it, found), *_ports(it, found), *bad)
    return Found(problems, (*doubt, *known))


def shown(
    found: Mapping[str, Any], patterns: Mapping[str, Secret], allowed: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Return where ``docker inspect`` shows secrets, against and by the settings.

    Args:
        found: what it says.
        patterns: what to look for.
        allowed: variables that may hold secrets.
    """
    name = found["Name"].removeprefix("/")
    places = {f"Config.Env[{key}]" for key in allowed}
    texts = list(_texts(found))
    free = [(where, text) for where, text in texts if where not in places]
    kept = [(where, text) for where, text in texts if where in places]
    bad = [f"docker inspect {name}: {line}" for line in secrets.holders(free, patterns)]
    known = [
        f"docker inspect {name}: {line}, as expose_in_environment allows"
        for line in secrets.holders(kept, patterns)
    ]
    return bad, known


def labelled(found: Mapping[str, Any]) -> list[str]:
    """Return the variables that the tool, when it made a container, wrote secrets into.

    Args:
        found: what ``docker inspect`` says.
    """
    labels = found["Config"].get("Labels") or {}
    return str(labels.get(f"{OURS}exposed", "")).split()


def _exposed(it: Container) -> list[str]:
    return [key for key, value in it.environment.items() if isinstance(value, SecretRef)]


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, Secret]]:
    """Return every text with its place; a variable's place is its name."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield f"the keys of {where or 'it'}", Secret(str(key))
            yield from _texts(held, f"{where}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for number, held in enumerate(value):
            key = str(held).partition("=")[0] if where == "Config.Env" else str(number)
            yield from _texts(held, f"{where}[{key}]")
    elif isinstance(value, str):
        yield where, Secret(value)


def _running(found: Mapping[str, Any]) -> Iterator[str]:
    state = found["State"]
    if state.get("Status") != "running":
        yield f"it does not run: {state.get('Status')}, exit code {state.get('ExitCode')}"
    health = (state.get("Health") or {}).get("Status", "healthy")
    if health not in ("healthy", "none"):
        yield f"its image's own check says that it is {health}"


def _image(it: Container, found: Mapping[str, Any], state: State) -> tuple[list[str], list[str]]:
    resolved = state.resolved[it.image]
    image = state.images.get(found["Image"], Image(found["Image"]))
    if resolved.how == "failed":
        return [f"image {it.image}: {resolved.trouble}"], []
    if not same_image(image, resolved):
        has = next(iter(sorted(image.digests)), image.id)
        wanted = resolved.digest or resolved.local
        return [f"image: it runs {brief(has)}, {it.image} is {brief(wanted)}"], []
    doubt = resolved.how == "local" and resolved.trouble != NO_REGISTRY
    return [], [f"{it.name}: {resolved.words}"] if doubt else []


def _policy(it: Container, found: Mapping[str, Any]) -> Iterator[str]:
    policy = found["HostConfig"].get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount")
    real = f"{name}:{count}" if name == "on-failure" and count else name
    if real != it.restart:
        yield f"restart policy: {real}, not {it.restart}"


def _ports(it: Container, found: Mapping[str, Any]) -> Iterator[str]:
    """Compare what the daemon really bound: a stopped container has nothing."""
    bound = found["NetworkSettings"].get("Ports") or {}
    real = {
        f"{one['HostIp']}:{one['HostPort']} -> {inside}"
        for inside, places in bound.items()
        for one in places or ()
    }
    wanted = {
        f"{port.address}:{port.host or port.container} -> {port.container}/{port.protocol}"
        for port in it.ports
    }
    for line in sorted(real - wanted):
        yield f"port {line} is published against the settings"
    for line in sorted(wanted - real):
        yield f"port {line} is not published"
