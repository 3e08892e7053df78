"""Containers of an application that another tool left: releases that can be gone back to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uplift.spec.app.models import App, Drain
from uplift.spec.app.release import Origin, Release
from uplift.spec.container.image import Reference
from uplift.spec.container.shape import found_shape
from uplift.spec.errors import SettingsError
from uplift.spec.secret import Secret, SecretRef

ANY = "0.0.0.0"  # noqa: S104 - what Docker means by no address


@dataclass(frozen=True)
class Stranger:
    """A container that this tool did not make.

    Args:
        container: as ``docker inspect`` says; may hold secrets.
        image: the same of its image.
    """

    container: Mapping[str, Any] = field(repr=False)
    image: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.container["Name"]).removeprefix("/")

    def steady(self) -> tuple[str, ...]:
        """Return what does not change by itself."""
        running = str(self.container["State"].get("Running"))
        return (self.name, str(self.container["Id"]), str(self.container["Image"]), running)

    def of(self, app: App) -> bool:
        """Tell whether it serves an application: it runs, from the application's repository.

        Args:
            app: whose settings name the repository.
        """
        repository = Reference.parse(app.image).name
        return bool(self.container["State"].get("Running")) and repository in map(
            _repository, self._names
        )

    @property
    def _names(self) -> list[str]:
        own = [self.container["Config"]["Image"]]
        return [*own, *(self.image.get("RepoTags") or ()), *(self.image.get("RepoDigests") or ())]

    def tag(self, app: App) -> str:
        """Return the reference with a tag that it has, else what it was made from.

        Args:
            app: whose repository it is of.
        """
        repository = Reference.parse(app.image).name
        fits = [one for one in self._names if _repository(one) == repository and "@" not in one]
        return fits[0] if fits else f"{repository}@{self.digest(app)}"

    def digest(self, app: App) -> str:
        """Return the digest that its image has at the application's registry, or nothing.

        Args:
            app: whose repository it is of.
        """
        repository = Reference.parse(app.image).name
        fits = [
            one for one in self.image.get("RepoDigests") or () if _repository(one) == repository
        ]
        return fits[0].rpartition("@")[2] if fits else ""


def _repository(text: str) -> str:
    try:
        return Reference.parse(text).name
    except ValueError:
        return ""


@dataclass(frozen=True)
class Adopted:
    """A container of another tool as a release.

    Args:
        app: its settings, in the words of an application.
        release: as it is recorded.
        origin: the same, to be written down.
        values: what its variables hold, by reference.
    """

    app: App
    release: Release
    origin: Origin
    values: Mapping[SecretRef, Secret] = field(repr=False)


def adopted(app: App, found: Stranger) -> Adopted:
    """Return what a container was, as a release.

    Its variables may hold secrets, so all are kept as such. What belongs to the host stays as the
    settings of today say: routes, slots, how it is known that it is ready.

    Args:
        app: settings of today.
        found: the container.

    Raises:
        SettingsError: what it has cannot be said in settings.
    """
    shape = found_shape(found.container, found.image.get("Config") or {})
    values = {
        SecretRef(secret=f"{app.name}/adopted/{key}"): Secret(value)
        for key, value in shape["env"].items()
    }
    block = {
        **_from_today(app, shape),
        **_options(shape),
        "image": f"{Reference.parse(app.image).name}@{found.digest(app)}"
        if found.digest(app)
        else found.tag(app),
        "environment": {ref.secret.rpartition("/")[2]: ref for ref in values},
        "expose_in_environment": True,
    }
    settings = App.parse(block, path=f"container {found.name}")
    created = re.sub(r"\D", "", str(found.container["Created"])[:19])
    digest = found.digest(app) or str(found.container["Image"])
    id = f"{created[:8]}T{created[8:]}Z-{digest[7:19]}"
    labels = (found.image.get("Config") or {}).get("Labels") or {}
    origin = Origin(
        found.tag(app),
        found.digest(app),
        f"another tool ({found.name})",
        foreign=True,
        lost=(*_lost(app, shape), *_beyond(found, shape)),
    )
    release = Release(
        id=id,
        app=settings.model_dump(mode="json", exclude_defaults=True),
        reference=origin.reference,
        digest=origin.digest,
        local=str(found.container["Image"]),
        secrets={ref.secret: str(number) for number, ref in enumerate(values)},
        by=origin.by,
        outcome="found",
        builder=labels.get("io.uplift.builder", ""),
        foreign=True,
        lost=origin.lost,
    )
    return Adopted(settings, release, origin, values)


def adoptable(
    app: App, strangers: Sequence[Stranger], releases: Sequence[Release]
) -> tuple[list[Adopted], list[str]]:
    """Return the containers of other tools that are no recorded release yet.

    Args:
        app: settings of today.
        strangers: of the host.
        releases: of the application that are recorded.

    Returns:
        Them, and why others cannot be had.
    """
    known = {one.id for one in releases if one.good}
    found, refused = [], []
    for one in strangers:
        if not one.of(app):
            continue
        try:
            made = adopted(app, one)
        except SettingsError as error:
            refused.append(f"container {one.name} of another tool cannot be taken over: {error}")
        else:
            found += [] if made.release.id in known else [made]
    return found, refused


def _from_today(app: App, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is the host's and not the release's."""
    today: dict[str, Any] = {
        "name": app.name,
        "proxy": app.proxy,
        "ready": app.ready,
        "hold": app.hold,
        # What it is told with is nothing that it knows.
        "drain": Drain(seconds=app.drain.seconds),
        "free_disk": app.free_disk,
        "keep": app.keep,
    }
    if app.proxy == "haproxy":
        return {
            **today,
            "port": app.port,
            "slot_ports": app.slot_ports,
            "routes": app.routes,
        }
    ports = sorted(shape["ports"])
    return {
        **today,
        "ports": [
            {"address": address or ANY, "host": host, "container": port, "protocol": kind}
            for address, host, port, kind in ports
        ],
    }


def _options(shape: Mapping[str, Any]) -> dict[str, Any]:
    named = [(name, sorted(aliases)) for name, aliases in sorted(shape["networks"])]
    return {
        # Both together: what the image adds is no matter then.
        "entrypoint": list(shape["argv"][:1]) or None,
        "command": list(shape["argv"][1:]),
        "mounts": [
            {
                ("volume" if kind == "volume" else "source"): source,
                "target": target,
                "read_only": not writable,
            }
            for kind, source, target, writable in sorted(shape["mounts"])
        ],
        "tmpfs": {path: ",".join(sorted(words)) for path, words in shape["tmpfs"].items()},
        "networks": [
            {"name": name, "aliases": aliases} for name, aliases in named if name != "bridge"
        ],
        "hostname": shape["hostname"],
        "user": shape["user"] or None,
        "working_dir": shape["working_dir"] or None,
        "memory": str(shape["memory"]) if shape["memory"] else None,
        "cpus": shape["cpus"],
        "pids_limit": shape["pids_limit"],
        "ulimits": {
            name: {"soft": soft, "hard": hard} for name, (soft, hard) in shape["ulimits"].items()
        },
        "read_only": shape["read_only"],
        "cap_add": sorted(shape["cap_add"]),
        "cap_drop": sorted(shape["cap_drop"]),
        "no_new_privileges": "no-new-privileges" in shape["security"],
        "init": shape["init"],
        "extra_hosts": shape["extra_hosts"],
        "stop_signal": shape["stop_signal"] if shape["stop_signal"].startswith("SIG") else None,
        "stop_timeout": max(1, shape["stop_timeout"]),
    }


def _lost(app: App, shape: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an application cannot have, in words."""
    lost = [f"{len(shape['labels'])} labels"] if shape["labels"] else []
    if app.proxy == "haproxy":
        lost += [
            f"port {address or '*'}:{host} -> {port}/{kind}: HAProxy reaches port {app.port}"
            for address, host, port, kind in sorted(shape["ports"])
        ]
    lost += ["privileged"] if shape["privileged"] else []
    lost += [f"{shape['devices']} devices"] if shape["devices"] else []
    lost += [f"security option {one}" for one in sorted(shape["security"] - {"no-new-privileges"})]
    return tuple(lost)


_USUAL: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("Dns", "DnsOptions", "DnsSearch", "GroupAdd", "Links", "VolumesFrom"), ()),
    **dict.fromkeys(("PidMode", "UTSMode", "UsernsMode", "Sysctls", "DeviceRequests"), ()),
    "IpcMode": ("private", "shareable"),
    "ShmSize": (67108864,),
}
"""What ``docker inspect`` says of each where nobody has asked for it, beside nothing at all."""


def _beyond(found: Stranger, shape: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what settings have no word for, as Docker calls it."""
    host, image = found.container["HostConfig"], found.image.get("Config") or {}
    lost = [key for key, usual in _USUAL.items() if host.get(key) and host[key] not in usual]
    lost += ["Healthcheck"] if shape["healthcheck"] != image.get("Healthcheck") else []
    signal = shape["stop_signal"]
    # Docker takes a number, or a name without its SIG; of an image it comes by itself.
    named = signal.startswith("SIG") or signal == (image.get("StopSignal") or "")
    return (*lost, *([] if named else [f"StopSignal {signal}"]))
