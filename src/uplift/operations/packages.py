"""Publish packages to the repositories of an index server, from one host that reaches it."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from uplift.facts.packages import Packages as Read
from uplift.facts.script import read_quietly
from uplift.operations import script
from uplift.operations.first import first
from uplift.operations.packages_script import Publish
from uplift.operations.packages_work import Outcome, Work, outcomes
from uplift.spec.errors import UpliftError
from uplift.spec.packages import Packages, Plan
from uplift.spec.packages.plan import refusal


@operation()
def published(settings: Packages) -> Generator[PyinfraCommand, None, None]:
    """Publish what the repositories do not serve yet.

    + settings: which packages, and into which repositories

    Packages are built on the controller. One command of the host asks the servers what they have,
    by hash; one sends the files that are missing, each with the client of its format. A version
    that is served with other content is an error that names both hashes, and then nothing is
    published. Of several hosts with the same settings, the first publishes.

    **Example:**

    .. code:: python

        packages.published(name="Packages", settings=Packages(repositories={…}, publish=[…]))
    """
    publisher = first(host, "packages")
    if publisher != host.name:
        host.noop(f"packages are published from {publisher}")
        return
    try:
        work = Work.of(settings)
        todo = _read(host, work)
        if todo is None:
            return
        if todo.conflicts:
            yield _refused(refusal(todo.conflicts))
        elif not todo.todo:
            host.noop(f"packages: all {len(work.artifacts)} files are served as they are here")
        else:
            script.announce(_told(todo.lines))
            yield FunctionCommand(_publish, (work, todo), {})
    except UpliftError as error:
        yield _refused(str(error))


def _read(host: Host, work: Work) -> Plan | None:
    found = read_quietly(host, Read, work.questions, address=work.address)
    return None if found is None else work.examine(found)


def _publish(state: State, host: Host, work: Work, todo: Plan) -> bool:
    """Send what is missing, and look what is served then."""
    sendings = read_quietly(host, Publish, work.files(todo))
    if sendings is None:
        return False
    try:
        after = _read(host, work)
    except UpliftError as error:
        host.log(_told([str(error)]), log_func=logger.error)
        after = None
    return _report(host, outcomes(todo, sendings, after))


def _report(host: Host, found: Iterable[Outcome]) -> bool:
    good = True
    for one in found:
        if one.word == "failed":
            host.log(_told([f"{one.artifact}: {one.reason}"]), log_func=logger.error)
            good = False
        elif one.word == "published":
            script.changed(_told([f"{one.artifact} published"]))
    return good


def _refused(text: str) -> PyinfraCommand:
    return script.refuse(_told(text.splitlines()))


def _told(lines: Iterable[str]) -> str:
    return "\n".join(f"packages: {line}" for line in lines)
