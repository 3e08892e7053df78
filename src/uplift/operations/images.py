"""Build images on a host and push them from there."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from uplift.facts.images import Images as Read
from uplift.facts.script import read_quietly
from uplift.operations import job, script
from uplift.operations.first import first
from uplift.operations.images_script import script as text_of
from uplift.operations.images_work import collect
from uplift.spec.errors import UpliftError
from uplift.spec.images import Found, Images, Inputs, plan


@operation()
def built(settings: Images) -> Generator[StringCommand, None, None]:
    """Build the images whose tag is not in their registry yet, and push them.

    + settings: which images, and from what

    The tag ``VERSION-BUILDER-HASH`` is made from all that goes into an image and never moves: when
    the registry has it, nothing is built. ``VERSION-BUILDER`` moves to it. An image is looked
    through for secrets before it is pushed. Of several hosts with the same settings, the first
    builds. Each build is a job that goes on when the connection drops.

    **Example:**

    .. code:: python

        images.built(name="Images", settings=Images(build=[{"name": "…/console", …}]))
    """
    builder = first(host, "images")
    if builder != host.name:
        host.noop(f"images are built on {builder}")
        return
    try:
        wanted = collect(settings)
        found = _read(wanted)
        if found is None:
            return
        _check(found)
        todo = plan(wanted, found)
        if cannot := found.cannot(todo):
            raise UpliftError(
                f"this host cannot build for {', '.join(cannot)}: install qemu-user-static "
                "there (Debian), or build on a host of that platform"
            )
        texts = [text_of(settings, one) for one in todo]
    except UpliftError as error:
        yield script.refuse(f"images: {error}", code=int(error.exit_code))
        return
    if not todo:
        host.noop(f"images: all {len(wanted)} are in their registry")
        return
    script.announce("\n".join(f"images: {one.line}" for one in todo))
    for one, text in zip(todo, texts, strict=True):
        # The tag that moves belongs to the state: the same move may be needed a second time.
        seen = f"{found.digests.get(one.inputs.fixed)} {found.digests.get(one.inputs.moving)}"
        id = job.identity("images", text, seen)
        yield job.start(id, text, limit=settings.time_limit, followed=True)
    _tell([one.inputs for one in todo])


def _read(wanted: Sequence[Inputs]) -> Found | None:
    references = [name for one in wanted for name in (one.fixed, one.moving)]
    platforms = any(one.image.platforms for one in wanted)
    return read_quietly(host, Read, references=references, platforms=platforms)


def _check(found: Found) -> None:
    if found.ready:
        raise UpliftError(f"this host cannot build: {found.ready}")
    if found.busy:
        raise UpliftError(f"{found.busy} still builds on this host: wait for it and run again")
    if found.troubles:
        lines = [f"{name}: {trouble}" for name, trouble in found.troubles.items()]
        raise UpliftError("the registry could not be asked\n" + "\n".join(lines))


def _tell(done: Sequence[Inputs]) -> None:
    """Say which digest each image has: that is what a deploy names."""
    found = _read(done)
    for one in done if found else ():
        digest = found.digests.get(one.fixed, "no digest") if found else ""
        script.changed(f"images: {one.fixed} is {one.image.name}@{digest}")
