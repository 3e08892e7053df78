"""Make an InfluxDB 2.7 and keep it, and its tokens on other hosts, as the settings say."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.influxdb import TokenFiles
from uplift.facts.script import read_quietly
from uplift.operations import influxdb_api, influxdb_files, influxdb_server, script
from uplift.secrets import check_keepable, peek, require, resolve
from uplift.spec.errors import UpliftError
from uplift.spec.influxdb import ClientToken, InfluxDB, InfluxDBClient, TokenFile
from uplift.spec.influxdb.errors import Refused
from uplift.spec.influxdb.plan import check_secrets
from uplift.spec.influxdb.tokens import file_differs
from uplift.spec.influxdb.writes import FileWrite
from uplift.spec.secret import Secret


@operation()
def configured(settings: InfluxDB, wait: int = 60) -> Generator[PyinfraCommand, None, None]:
    """Run an InfluxDB 2.7, set it up, and keep organisations, buckets, users and tokens as wanted.

    + settings: its container, and what the server holds
    + wait: seconds to wait for a server that starts

    One command reads the container, one everything that the server holds; only what differs is
    changed. A server that is not set up yet is, in a container without ports, before the one with
    ports exists: whoever comes first there finds it taken. Where one thing needs another (a bucket
    its organisation), what can be written is, in one command, and the server is read again: a run
    that was killed goes on where it stood. Objects that the settings do not name are named, and
    left alone. A retention that would delete points is refused before anything is written to the
    server. A token that is replaced goes when its successor is in place and was proved to work.

    **Example:**

    .. code:: python

        influxdb.configured(
            name="InfluxDB",
            settings=InfluxDB(container=Server(image="influxdb:2.7.12"), setup=…, buckets=[…]),
        )
    """
    try:
        require(settings)
        check_secrets(settings, resolve)
        for token in settings.tokens:
            if token.secret:
                check_keepable(token.secret.ref)
        touched = False
        if settings.container:
            ready = yield from influxdb_server.converge(settings, settings.container)
            if ready is None:
                return
            touched = ready
        yield from influxdb_api.converge(settings, wait, touched=touched)
    except UpliftError as error:
        yield _refuse(error)


@operation()
def tokens_present(settings: InfluxDBClient) -> Generator[PyinfraCommand, None, None]:
    """Write tokens that the controller keeps to files of a host, which need not be the server's.

    + settings: the tokens and their files

    One command reads the files, one writes those that differ, each whole, 0600. The tokens come
    from the controller's secrets, where the operation on the server's host put them: run it first,
    or in the same run.

    **Example:**

    .. code:: python

        influxdb.tokens_present(name="Tokens", settings=InfluxDBClient(tokens=[…]))
    """
    there = read_quietly(host, TokenFiles, files=[token.file for token in settings.tokens])
    if there is None:
        return
    try:
        values = _kept(settings)
        todo = list(_differing(settings, there, values))
    except UpliftError as error:
        yield _refuse(error)
        return
    if not todo:
        host.noop(f"{len(settings.tokens)} token files are as they should be")
    else:
        for line in todo:
            script.changed(f"influxdb: {line}")
        yield influxdb_files.write(todo)
    for value in values.values():
        influxdb_api.holds(host.name, value)


@operation()
def old_tokens_absent(settings: InfluxDB, wait: int = 60) -> Generator[PyinfraCommand, None, None]:
    """Remove old tokens that waited until other hosts had their successors.

    + settings: as for ``configured``
    + wait: seconds to wait for a server that starts

    It comes behind ``configured`` and the ``tokens_present`` of all hosts, and costs nothing where
    no token waits. A host of the inventory that should have a token and did not get it in this run
    (left out by ``--limit``, or failed) keeps the old one alive, and is named.

    **Example:**

    .. code:: python

        influxdb.old_tokens_absent(name="Old tokens", settings=settings)
    """
    if not influxdb_api.is_sparing(host.name):
        host.noop("no old token waits for other hosts")
        return
    try:
        yield from influxdb_api.converge(settings, wait, touched=False)
    except UpliftError as error:
        yield _refuse(error)


def _refuse(error: UpliftError) -> PyinfraCommand:
    lines = [f"influxdb: {line}" for line in str(error).splitlines()]
    return script.refuse("\n".join(lines), code=int(error.exit_code))


def _kept(settings: InfluxDBClient) -> Mapping[ClientToken, Secret]:
    """Return the tokens by what asks for them.

    Raises:
        Refused: names those that the controller does not have.
    """
    found = {token: peek(token.secret.ref) for token in settings.tokens}
    missing = [str(token.secret) for token, value in found.items() if value is None]
    if missing:
        msg = (
            f"{', '.join(missing)}: the controller has no such token yet: deploy the server that "
            "makes it first (a token in 'influxdb' with this 'secret')"
        )
        raise Refused(msg)
    return {token: value for token, value in found.items() if value is not None}


def _differing(
    settings: InfluxDBClient,
    there: Mapping[str, TokenFile],
    values: Mapping[ClientToken, Secret],
) -> Iterator[FileWrite]:
    for token in settings.tokens:
        subject = f"token {token.secret}"
        why = file_differs(subject, token.file, token.owner, values[token], there[token.file])
        if why:
            yield FileWrite(subject, why, token.file, token.owner, values[token])
