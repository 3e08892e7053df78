"""pyinfra's command line in processes of its own that have not to load it each time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# A process that has loaded these and done nothing else; each run is a fork of it. To load them
# takes several times as long as what a run then does.
_FORKS = multiprocessing.get_context("forkserver")
_LOADED = ["pyinfra_cli.main", "uplift.guard"]
_FORKS.set_forkserver_preload(_LOADED)

LIMIT = 60.0


class Done(NamedTuple):
    """What a run of pyinfra left behind."""

    code: int | None
    out: str
    err: str


def run(words: Sequence[str], folder: Path, variables: Mapping[str, str], printed: Path) -> Done:
    """Run pyinfra as its script does, without a terminal.

    Args:
        words: of the command line.
        folder: in which it is started.
        variables: its whole environment.
        printed: a folder for what it prints.
    """
    out, err = printed / "pyinfra.out", printed / "pyinfra.err"
    process = _FORKS.Process(target=_main, args=(words, folder, dict(variables), out, err))
    process.start()
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"pyinfra {' '.join(words)} took more than {LIMIT} s")
    return Done(process.exitcode, out.read_text(), err.read_text())


def _main(
    words: Sequence[str], folder: Path, variables: dict[str, str], out: Path, err: Path
) -> None:
    for descriptor, file in enumerate((Path(os.devnull), out, err)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = ["pyinfra", *words]
    from pyinfra_cli.main import main

    main()
