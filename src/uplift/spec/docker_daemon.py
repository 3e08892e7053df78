"""How a daemon comes to run with its configuration: not at all, by a reload or by a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from uplift.spec.docker import Docker
from uplift.spec.docker_state import DockerState
from uplift.spec.jsonmerge import JsonError, load

DAEMON_JSON = "/etc/docker/daemon.json"

Step = Literal["leave", "start", "reload", "restart"]

RELOADABLE = frozenset(
    {
        "authorization-plugins",
        "debug",
        "default-runtime",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
"""Keys that a running daemon takes over, as Docker documents. ``features`` is left out: some of
them, such as the containerd image store, need a restart after all."""


class Refused(Exception):
    """Say why this host is left as it is, and what to do."""


def decide(
    settings: Docker, state: DockerState, config: Mapping[str, Any], *, changed: bool
) -> tuple[Step, list[str]]:
    """Decide how the daemon comes to run with this configuration.

    Args:
        settings: the block ``docker``.
        state: what the host says.
        config: ``daemon.json`` as it will be.
        changed: the file will differ from what stands there.

    Returns:
        the step, and for people what it is and why.

    Raises:
        Refused: it would stop containers that nobody allowed to stop.
    """
    if not state.engine:
        return "restart", []
    if not state.active:
        return "start", ["start the daemon"]
    if reason := _restart_reason(state, config):
        if state.running_containers and not (settings.live_restore or settings.restart_running):
            msg = (
                f"the daemon needs a restart ({reason}), which would stop "
                f"{state.running_containers} running container(s): set docker.restart_running "
                f"to True to allow it, or docker.live_restore to True to keep them running"
            )
            raise Refused(msg)
        return "restart", [f"restart the daemon: {reason}"]
    if changed:
        return "reload", ["reload the daemon"]
    if reason := _reload_reason(state, config):
        return "reload", [f"reload the daemon: {reason}"]
    return "leave", []


def _restart_reason(state: DockerState, config: Mapping[str, Any]) -> str | None:
    running = _running(state)
    if running is None:
        return f"{DAEMON_JSON} was changed after its start"
    keys = sorted({*running, *config})
    # A key that is taken out keeps its value in a daemon that is only reloaded.
    needs = [
        key
        for key in keys
        if running.get(key) != config.get(key) and (key not in RELOADABLE or key not in config)
    ]
    if needs:
        return ", ".join(needs)
    driver = config.get("log-driver")
    if driver and (state.info or {}).get("LoggingDriver") != driver:
        return "log-driver"
    return "CA certificates of the system were changed" if _bundle_is_newer(state) else None


def _running(state: DockerState) -> Mapping[str, Any] | None:
    """Return the configuration that the daemon was started with, or None if nobody knows."""
    try:
        if state.loaded and state.loaded.invocation == state.unit.get("InvocationID"):
            return load(state.loaded.config.decode())
        if state.config is None:
            return {}
        if state.config.changed <= state.started:
            return load(state.config.content.decode())
    except (JsonError, UnicodeDecodeError):
        pass  # the record is a hint: without a good one it is as if there were none
    return None


def _bundle_is_newer(state: DockerState) -> bool:
    """Tell whether the CA bundle was changed after the daemon, which reads it once, started."""
    if state.bundle is None or state.bundle.changed <= state.started:
        return False
    loaded = state.loaded
    same_run = loaded is not None and loaded.invocation == state.unit.get("InvocationID")
    return not (same_run and loaded is not None and loaded.bundle == state.bundle.sha256)


def _reload_reason(state: DockerState, config: Mapping[str, Any]) -> str | None:
    info = state.info or {}
    registries = info.get("RegistryConfig") or {}
    if bool(info.get("LiveRestoreEnabled")) != bool(config.get("live-restore")):
        return "live-restore"
    mirrors = _strings(config, "registry-mirrors")
    # Docker adds a final slash.
    if mirrors is not None and _bare(registries.get("Mirrors") or ()) != _bare(mirrors):
        return "registry-mirrors"
    insecure = _strings(config, "insecure-registries")
    if insecure is not None and _insecure(registries) != set(insecure):
        return "insecure-registries"
    if _edited_since_reload(state):
        return f"{DAEMON_JSON} was changed after its last reload"
    return None


def _strings(config: Mapping[str, Any], key: str) -> list[str] | None:
    """Return a list of the file; anything else there is for ``dockerd`` to refuse."""
    value = config.get(key)
    well = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return value if well else None


def _bare(urls: Iterable[str]) -> list[str]:
    return [url.rstrip("/") for url in urls]


def _insecure(registries: Mapping[str, Any]) -> set[str]:
    """Return the insecure registries that the running daemon knows, without its built-in ones."""
    indexes = registries.get("IndexConfigs") or {}
    names = {name for name, index in indexes.items() if not index.get("Secure", True)}
    networks = set(registries.get("InsecureRegistryCIDRs") or ())
    return names | (networks - {"127.0.0.0/8", "::1/128"})


def _edited_since_reload(state: DockerState) -> bool:
    if state.config is None or state.config.changed <= state.reloaded:
        return False
    loaded = state.loaded
    return (
        loaded is None
        or loaded.invocation != state.unit.get("InvocationID")
        or loaded.config != state.config.content
    )
