"""``uplift lab``: real hosts on this machine to try everything on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from uplift.cli.output import as_json, progress, results
from uplift.lab.names import default_name, project_folder
from uplift.lab.report import Report
from uplift.spec.errors import Exit

if TYPE_CHECKING:
    from uplift.lab.up import Outcome

_name = click.option("--name", help="Which lab.  [default: $UPLIFT_LAB, else by this folder]")
_json = click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
_yes = click.option("--yes", is_flag=True, help="Install and start Docker when it is missing.")


@click.group()
def lab() -> None:
    """Real hosts on this machine to try everything on.

    They are containers that behave like rented servers: systemd, sshd, a Docker Engine and a
    disk of their own, each on its own loopback address.
    """


@contextmanager
def reporting() -> Iterator[Report]:
    """Show what a long step is doing: a moving line on a terminal, else a line for each step."""
    began = time.monotonic()
    if not progress.is_terminal:
        yield lambda text: progress.print(f"{time.monotonic() - began:6.1f} s  {escape(text)}")
        return
    with progress.status("…") as moving:

        def show(text: str) -> None:
            moving.update(escape(text))
            progress.print(f"[dim]{time.monotonic() - began:6.1f} s  {escape(text)}[/]")

        yield show


@lab.command()
@_name
@click.option("--hosts", type=int, help="How many hosts.  [default: as before, else 3]")
@click.option("--light/--full", default=None, help="Hosts with sshd only, for benchmarks.")
@click.option("--debian12/--no-debian12", default=None, help="One more host of Debian 12.")
@click.option("--recreate", is_flag=True, help="Make hosts anew that differ; their data is lost.")
@click.option(
    "--images/--no-images",
    default=None,
    help="Have the images of services in the lab's registry.  [default: not with --light]",
)
@_yes
@_json
def up(
    name: str | None,
    hosts: int | None,
    light: bool | None,
    debian12: bool | None,
    recreate: bool,
    images: bool | None,
    yes: bool,
    json_: bool,
) -> int:
    """Bring the lab up, or complete one that was interrupted."""
    from uplift.lab import status as lab_status
    from uplift.lab import up as lab_up

    with reporting() as report:
        outcome = lab_up.up(
            name,
            hosts=hosts,
            light=light,
            debian12=debian12,
            recreate=recreate,
            with_images=not light if images is None else images,
            yes=yes,
            report=report,
        )
        found = lab_status.status(outcome.name)
    if json_:
        did = {key: getattr(outcome, key) for key in ("changed", "left", "failed", "seconds")}
        as_json({**found, **did})
    else:
        _summary(outcome, found)
    return Exit.FAILED if outcome.failed else Exit.DONE


def _summary(outcome: Outcome, found: dict[str, Any]) -> None:
    _print_hosts(found)
    for line in outcome.changed or ["nothing to do"]:
        results.print(f"  {escape(line)}")
    for host, why in outcome.left.items():
        results.print(f"[yellow]{host} {escape(why)}[/]")
    for host, units in outcome.failed.items():
        results.print(f"[red]{host} could not start:[/] {escape('; '.join(units))}")
    if outcome.failed and outcome.advice:
        results.print(escape(outcome.advice))
    images = sum(image.size for image in outcome.images)
    results.print(
        f"lab {outcome.name} is up: {outcome.seconds:.1f} s, disk: hosts "
        f"{_size(sum(found['disk'].values()))}, their images {_size(images)}"
    )
    if outcome.name != default_name(project_folder()):
        results.print(f"inventories/lab.py is this lab after: export UPLIFT_LAB={outcome.name}")


def _print_hosts(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("host", "state", "kind", "address", "groups"):
        table.add_column(column)
    for host in found["hosts"]:
        table.add_row(
            host["name"],
            host["state"],
            host["kind"],
            f"{host['address']}:{host['port']}",
            " ".join(host["groups"]),
        )
    registry = found["registry"]
    table.add_row(
        "registry", registry["state"], "registry", f"{registry['address']}:{registry['port']}", ""
    )
    results.print(table)


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@lab.command()
@click.argument("name", required=False)
@click.option("--all", "all_", is_flag=True, help="Every lab on this machine, in short.")
@_json
def status(name: str | None, all_: bool, json_: bool) -> int:
    """Show a lab; exit code 3 when a part of it does not run."""
    from uplift.lab import status as lab_status

    if all_:
        return _all(lab_status.all_labs(), json_)
    found = lab_status.status(name)
    if json_:
        as_json(found)
    else:
        results.print(f"lab {found['name']} of {escape(found['folder'])}")
        _print_hosts(found)
        for image, how in found["images"].items():
            results.print(f"  image {image}: {escape(how['how'])}, {_size(how['size'])}")
        results.print(f"  disk: {_size(sum(found['disk'].values()))}")
    states = [part["state"] for part in (*found["hosts"], found["registry"])]
    return Exit.DONE if set(states) == {"running"} else Exit.HELD


def _all(found: list[dict[str, Any]], json_: bool) -> int:
    if json_:
        as_json(found)
        return Exit.DONE
    table = Table(box=None, pad_edge=False)
    for column in ("lab", "hosts", "running", "folder"):
        table.add_column(column)
    for one in found:
        running = sum(state == "running" for state in one["hosts"].values())
        folder = escape(one["folder"] or "?") + ("  (gone)" if one["orphan"] else "")
        table.add_row(one["name"], str(len(one["hosts"])), str(running), folder)
    results.print(table if found else "no lab on this machine")
    return Exit.DONE


@lab.command()
@click.argument("name", required=False)
@click.option("--images", is_flag=True, help="Remove images too, unless another lab is there.")
@_json
def down(name: str | None, images: bool, json_: bool) -> int:
    """Remove all that a lab made, and nothing else."""
    from uplift.lab import down as lab_down

    with reporting() as report:
        removed = lab_down.down(name, with_images=images, report=report)
    if json_:
        as_json({"removed": removed})
        return Exit.DONE
    for line in removed or ["nothing to remove"]:
        results.print(f"  {escape(line)}")
    return Exit.DONE


@lab.command()
@click.argument("image", required=False)
@_name
@_yes
@_json
def image(image: str | None, name: str | None, yes: bool, json_: bool) -> int:
    """Pull or build an image and put it into the lab's registry; list them without IMAGE."""
    from uplift.lab import images, registry

    if image is None:
        stored = {found.name: found.how for found in images.stored()}
        table = {known: stored.get(known) for known in images.NAMES}
        if json_:
            as_json(table)
        for known, how in {} if json_ else table.items():
            results.print(f"  {known}: {escape(how or 'not made yet')}")
        return Exit.DONE
    with reporting() as report:
        pushed = registry.push(image, lab=name, yes=yes, report=report)
    made = pushed.image
    if json_:
        as_json(
            {
                "name": made.name,
                "how": made.how,
                "seconds": made.seconds,
                "size": made.size,
                "reference": pushed.reference,
                "digest": pushed.digest,
            }
        )
    else:
        results.print(
            f"{made.name}: {escape(made.how)} in {made.seconds:.1f} s, {_size(made.size)}\n"
            f"on lab hosts: {pushed.reference}\n{pushed.digest}"
        )
    return Exit.DONE
