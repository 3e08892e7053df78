"""``uplift init``: a commented project of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.markup import escape

from uplift.cli.output import as_json, progress, results
from uplift.scaffold.project import create


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
def init(directory: Path, json_: bool) -> None:
    """Write inventories, group data, deploys and a first test, all commented.

    DIRECTORY is made; one that holds anything is refused, so that nothing is overwritten.
    """
    files = create(directory)
    if json_:
        as_json({"directory": str(directory), "files": [str(file) for file in files]})
        return
    for file in files:
        results.print(escape(str(directory / file)))
    progress.print(
        f"\nNext:\n  cd {escape(shlex.quote(str(directory)))}\n"
        "  change inventories/prod.py and group_data/, they are commented\n"
        "  uplift doctor inventories/prod.py\n"
        "All commands are in README.md there."
    )
