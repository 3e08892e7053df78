"""Debian base images without a container registry: debootstrap, from the controller's mirror."""

from __future__ import annotations

import os
from pathlib import Path

from uplift.lab.images import mirrors, tools
from uplift.lab.images.places import Report
from uplift.lab.images.processes import run
from uplift.spec.errors import UpliftError

TIME_LIMIT = 1800.0
PACKAGES = {"debootstrap": ("debootstrap", "debian-archive-keyring")}
# Nothing of it may outlive us: the pid namespace ends with unshare, and unshare with this process.
# Its mounts are in a namespace of their own, so that they never stand in the way of cleaning up.
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


def make_tree(suite: str, folder: Path, report: Report, *, install: bool) -> Path:
    """Make the root folder of a minimal Debian and pack it.

    Args:
        suite: Debian release, as ``trixie``.
        folder: an empty folder to work in.
        report: told what is done.
        install: whether debootstrap may be installed on the controller.

    Returns:
        The tar file.

    Raises:
        UpliftError: debootstrap is missing, needs root, or failed.
    """
    tools.require(PACKAGES, f"debian:{suite}", report, install=install)
    if os.geteuid() != 0:
        raise UpliftError(
            f"debian:{suite}: no registry answers, and making it with debootstrap needs root."
        )
    found = mirrors.configured()
    root = folder / "root"
    report(f"debian:{suite}: debootstrap, takes about half a minute")
    command = [*CONTAINED, *_debootstrap(suite, root, found.main)]
    run(command, report, limit=TIME_LIMIT)
    _tidy(root, found.sources(suite))
    archive = folder / "root.tar"
    report(f"debian:{suite}: packing")
    tar = ["tar", "-C", str(root), "--numeric-owner", "--exclude=./dev/*", "-cf", str(archive), "."]
    run(tar, report, limit=TIME_LIMIT)
    return archive


def _debootstrap(suite: str, root: Path, mirror: str | None) -> list[str]:
    # ca-certificates: so that the image reaches mirrors that are served with TLS.
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(root)]
    return [*command, mirror] if mirror else command


def _tidy(root: Path, sources: str | None) -> None:
    if sources is not None:
        (root / "etc/apt/sources.list").write_text(sources)
    for pattern in ("var/lib/apt/lists/*_*", "var/cache/apt/archives/*.deb", "var/cache/apt/*.bin"):
        for path in root.glob(pattern):
            path.unlink()
