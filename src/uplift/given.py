"""What `--data` of pyinfra's command line asks a deploy file for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uplift.settings import Settings, checked, ending_pyinfra, for_host
from uplift.spec.app import App
from uplift.spec.base import near_miss
from uplift.spec.container.image import Reference
from uplift.spec.errors import Problem, SettingsError

if TYPE_CHECKING:
    from pyinfra.api.host import Host


NAMES = ("app", "pinned", "schema", "tag", "to")
"""What the project's own deploy files ask for."""


def check_names(host: Host) -> None:
    """Refuse a name of ``--data`` that one of ours was probably meant by.

    pyinfra takes any name: a rollback to ``too=poetry`` would go to the release before. Names that
    are like none of ours are those of somebody's own deploy files.

    Args:
        host: pyinfra's host.

    Raises:
        SettingsError: with the name that was probably meant.
    """
    with ending_pyinfra():
        for name in host.inventory.get_override_data():
            if name in NAMES or name in Settings.model_fields:
                continue
            swapped = next((one for one in NAMES if sorted(one) == sorted(name)), None)
            if guess := swapped or near_miss(name, NAMES, cutoff=0.75):
                text = f"is not known, did you mean --data {guess}=…?"
                raise SettingsError([Problem(path=name, text=text, source="--data")])


def word(host: Host, name: str, default: str | None = None) -> str:
    """Return a text that was given by ``--data``, for a deploy file that asks for one.

    Args:
        host: pyinfra's host.
        name: of the data.
        default: when it was not given; None: it must be.

    Raises:
        SettingsError: it is missing, or pyinfra took it for a number, as ``1.10`` for 1.1.
    """
    with ending_pyinfra():
        value = host.data.get(name, default)
        if isinstance(value, str) and value:
            return value
        text = (
            f"is needed: --data {name}=…"
            if value is None
            else f"pyinfra reads it as {value!r}: quote it, as --data '{name}=\"1.10\"'"
        )
        raise SettingsError([Problem(path=name, text=text, source="--data")])


def pinned(host: Host) -> tuple[str, ...]:
    """Return the images of ``--data pinned=NAME:TAG@sha256:…,…``; none when it was not given.

    Args:
        host: pyinfra's host.

    Raises:
        SettingsError: one has no tag or no digest.
    """
    if host.data.get("pinned") is None:
        return ()
    with ending_pyinfra():
        found = tuple(word(host, "pinned").split(","))
        for one in found:
            if not _whole(one):
                text = f"images as 'r.example/console:1.4.0@sha256:…', by commas; found {one!r}"
                raise SettingsError([Problem(path="pinned", text=text, source="--data")])
        return found


def _whole(image: str) -> bool:
    try:
        reference = Reference.parse(image)
    except ValueError:
        return False
    return bool(reference.tag and reference.digest)


def app_named(host: Host, name: str) -> App | None:
    """Return an application of a host; None when only other hosts of the inventory have it.

    Args:
        host: pyinfra's host.
        name: of the application.

    Raises:
        SettingsError: no host of the inventory has it.
    """
    for app in for_host(host).apps:
        if app.name == name:
            return app
    with ending_pyinfra():
        names = [app.name for one in host.inventory for app in checked(one).apps]
        if name not in names:
            guess = near_miss(name, names)
            hint = f", did you mean {guess!r}?" if guess else f"; there are: {sorted({*names})}"
            text = f"no host of the inventory has an application {name!r}{hint}"
            raise SettingsError([Problem(path="app", text=text, source="--data")])
    return None


def apps_of(host: Host) -> tuple[App, ...]:
    """Return the applications that a deploy file brings to a host: all, or what ``--data`` says.

    ``--data app=NAME`` is this one alone, ``--data tag=TAG`` with another tag of its image.

    Args:
        host: pyinfra's host.

    Raises:
        SettingsError: no host has an application of this name, or the tag is none.
    """
    check_names(host)
    if host.data.get("app") is None and host.data.get("tag") is None:
        return for_host(host).apps
    found = app_named(host, word(host, "app"))
    if found is None:
        return ()
    if host.data.get("tag") is None:
        return (found,)
    with ending_pyinfra():
        tag = word(host, "tag")
        try:
            return (found.at(tag),)
        except ValueError:
            text = f"is the tag of an image, as '2.0.0-uv', or a digest; found {tag!r}"
            raise SettingsError([Problem(path="tag", text=text, source="--data")]) from None


def job_hosts(host: Host) -> dict[str, str]:
    """Return which host of the inventory runs the jobs of each application that has some.

    Args:
        host: pyinfra's host, whose applications they are.

    Raises:
        SettingsError: the settings name a host that does not have the application.
    """
    with ending_pyinfra():
        return {app.name: _job_host(host, app) for app in checked(host).apps if app.jobs}


def _job_host(host: Host, app: App) -> str:
    if app.jobs_on is None:
        # The inventory's order, whatever --limit selects: the same one in every run.
        return next(one.name for one in host.inventory if _has(one, app.name))
    names = [one.name for one in host.inventory]
    if app.jobs_on in names and _has(host.inventory.get_host(app.jobs_on), app.name):
        return app.jobs_on
    guess = near_miss(app.jobs_on, names)
    hint = f", did you mean {guess!r}?" if guess and guess != app.jobs_on else ""
    text = f"{app.jobs_on!r} is no host of the inventory that has {app.name!r}{hint}"
    raise SettingsError([Problem(path="apps.jobs_on", text=text)])


def _has(host: Host, name: str) -> bool:
    return any(app.name == name for app in checked(host).apps)
