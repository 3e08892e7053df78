"""The data of the selected hosts: settings, pyinfra's own names, the password of sudo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uplift import trust
from uplift.guard.call import Call
from uplift.secrets import MissingSecretError, Secret, SecretRef, references, resolve, sudo
from uplift.settings import Settings, from_data, sources_of
from uplift.spec.base import near_miss
from uplift.spec.errors import Problem, SettingsError, UsageError

if TYPE_CHECKING:
    from pyinfra.api.host import Host


def check_settings(hosts: Iterable[Host], call: Call) -> None:
    """Validate the settings of every host and report all that is wrong at once.

    Args:
        hosts: that are selected.
        call: what pyinfra was asked to do.

    Raises:
        SettingsError: each problem once, however many hosts have it.
    """
    file = call.inventory if Path(call.inventory).is_file() else None
    folders = [Path("group_data"), *map(Path, call.group_data)]
    if file and Path(file).parent.resolve() != Path.cwd():
        folders.insert(1, Path(file).parent / "group_data")
    found: dict[Problem, None] = {}
    for host in hosts:
        sources = sources_of(host, file, folders)
        data = host.data.dict()
        found |= dict.fromkeys(misspelt_arguments(data, sources))
        try:
            settings = from_data(data, sources)
        except SettingsError as error:
            found |= dict.fromkeys(error.problems)
        else:
            found |= dict.fromkeys(_lab_secrets_elsewhere(host, references(settings)))
            found |= dict.fromkeys(_bad_files(settings, sources))
    if found:
        raise SettingsError(list(found))


def misspelt_arguments(data: Mapping[str, Any], sources: Mapping[str, str]) -> list[Problem]:
    """Find names like ``_sudu`` or ``ssh_usr``, which pyinfra would silently ignore.

    Args:
        data: of a host.
        sources: the file in which each name stands.
    """
    from pyinfra.api.arguments import all_argument_meta
    from pyinfra.connectors.ssh import connector_data_meta

    known = [*all_argument_meta, *connector_data_meta]
    found = []
    for name in data:
        guess = near_miss(name, known, cutoff=0.84) if name.startswith(("_", "ssh_")) else None
        if guess and name not in known:
            text = f"pyinfra knows no such name, did you mean {guess!r}?"
            found.append(Problem(path=name, text=text, source=sources.get(name)))
    return found


def _bad_files(settings: Settings, sources: Mapping[str, str]) -> list[Problem]:
    """Find certificates and keys on this machine that are missing or of no use."""
    found: list[Problem] = []
    for look in (_certificates, _authorities, _registry, _nexus):
        try:
            look(settings, sources)
        except SettingsError as error:
            found += error.problems
    return found


def _certificates(settings: Settings, sources: Mapping[str, str]) -> None:
    # A check makes no CA.
    files = settings.certificates.model_copy(update={"own_ca": False})
    trust.certificates(files, source=sources.get("certificates"))


def _authorities(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.docker is not None:
        trust.ca_files(settings.docker, source=sources.get("docker"))


def _registry(settings: Settings, sources: Mapping[str, str]) -> None:
    tls = settings.registry.tls if settings.registry else None
    if tls is not None and tls.certificate is not None:
        trust.server(tls, _known, source=sources.get("registry"))


def _nexus(settings: Settings, sources: Mapping[str, str]) -> None:
    server = settings.nexus.container if settings.nexus else None
    if server is not None and server.tls is not None and server.tls.certificate is not None:
        source = sources.get("nexus")
        trust.server(server.tls, _known, source=source, path="nexus.container.tls")


def _known(ref: SecretRef) -> Secret | None:
    """Return a secret, or None: the deploy that needs it says what is missing."""
    try:
        return resolve(ref)
    except MissingSecretError:
        return None


def _lab_secrets_elsewhere(host: Host, refs: Iterable[SecretRef]) -> list[Problem]:
    made_up = [] if "lab" in host.groups else [ref for ref in refs if ref.generate]
    text = (
        "lab_secret() makes up a value, and that is for the lab alone (the group `lab`): "
        "write secret() and store the value with `uplift secrets set`"
    )
    return [Problem(path=f"{host.name}: {ref}", text=text) for ref in made_up]


def answer_sudo(hosts: Sequence[Host], call: Call) -> None:
    """Give pyinfra the password of sudo where group data refers to one.

    It goes into pyinfra's configuration: host data would show it in `debug-inventory`.

    Args:
        hosts: that are selected.
        call: what pyinfra was asked to do.

    Raises:
        UsageError: the hosts have different passwords, or pyinfra would print the one.
    """
    found = (sudo.reference(host.data.dict()) for host in hosts)
    refs = {ref for ref in found if ref is not None}
    if len(refs) > 1:
        names = ", ".join(sorted(ref.secret for ref in refs))
        raise UsageError(
            f"the selected hosts have different passwords for sudo ({names}), and pyinfra takes "
            "one for a run: select hosts with one password by --limit"
        )
    if refs and call.shows_operations:
        raise UsageError(
            "--debug-operations would print the password of sudo that sudo_password names: "
            "leave it out; --dry shows what would change"
        )
    if refs:
        from pyinfra.context import config

        config.SUDO_PASSWORD = resolve(refs.pop()).reveal()
