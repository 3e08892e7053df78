"""InfluxDB from the Go module proxy: the server, compiled on the controller."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from uplift.lab.images import tools
from uplift.lab.images.context import Entry
from uplift.lab.images.kit import Kit
from uplift.lab.images.places import cache_dir, lock
from uplift.lab.images.processes import run
from uplift.spec.errors import UpliftError

MODULE = "github.com/influxdata/influxdb/v2"
PKG_CONFIG = "github.com/influxdata/pkg-config@v0.2.14"
TAGS = "sqlite_foreign_keys,sqlite_json"
TIME_LIMIT = 3600.0
# libflux turns the lints of its own compiler version into errors; newer compilers have more lints.
RUSTC_WRAPPER = '#!/bin/sh\nexec "$@" --cap-lints warn\n'
NEEDED = {
    "go": ("golang-go",),
    "cargo": ("cargo",),
    "rustc": ("rustc",),
    "cc": ("gcc", "libc6-dev"),
    "pkg-config": ("pkg-config",),
}


def fetch(version: str) -> Callable[[Kit], list[Entry]]:
    """Make the step that compiles ``influxd`` of a version into the context.

    Args:
        version: as ``2.7.12``.
    """

    def files(kit: Kit) -> list[Entry]:
        return [Entry("influxd", _compiled(version, kit), executable=True)]

    return files


def _compiled(version: str, kit: Kit) -> Path:
    folder = cache_dir() / "downloads"
    folder.mkdir(exist_ok=True)
    target = folder / f"influxd-{version}-{platform.machine()}"
    with lock(target.name, kit.report):
        if not target.is_file():
            _compile(version, kit, target)
    return target


def _compile(version: str, kit: Kit, target: Path) -> None:
    tools.require(NEEDED, f"InfluxDB {version}", kit.report, install=kit.install)
    kit.report(f"InfluxDB {version}: compiling, takes some minutes")
    source = kit.folder / "source"
    shutil.copytree(_module(version, kit), source)  # the module cache is read-only
    run(["chmod", "-R", "u+w", str(source)], kit.report, limit=TIME_LIMIT)
    wrapper = kit.folder / "rustc-wrapper"
    wrapper.write_text(RUSTC_WRAPPER)
    wrapper.chmod(0o755)
    tools_folder = kit.folder / "bin"
    run(
        ["go", "install", PKG_CONFIG],
        kit.report,
        limit=TIME_LIMIT,
        env={"GOBIN": str(tools_folder)},
    )
    fresh = kit.folder / "influxd"
    flags = f"-s -w -X main.version=v{version}"
    run(
        ["go", "build", "-tags", TAGS, "-ldflags", flags, "-o", str(fresh), "./cmd/influxd"],
        kit.report,
        limit=TIME_LIMIT,
        cwd=source,
        env={
            "PKG_CONFIG": str(tools_folder / "pkg-config"),
            "RUSTC_WRAPPER": str(wrapper),
            **_rust_toolchain(),
        },
    )
    _keep(fresh, target)


def _module(version: str, kit: Kit) -> Path:
    # Run outside of any Go module, so that the checkout around us does not matter.
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@v{version}"],
        cwd=kit.folder,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    if done.returncode != 0:
        raise UpliftError(f"go mod download {MODULE}@v{version}: failed\n{done.stderr.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def _rust_toolchain() -> dict[str, str]:
    """Name the toolchain in use, because libflux asks for one that nobody has installed."""
    if not shutil.which("rustup"):
        return {}
    done = subprocess.run(
        ["rustup", "show", "active-toolchain"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {"RUSTUP_TOOLCHAIN": done.stdout.split()[0]}


def _keep(fresh: Path, target: Path) -> None:
    """Move a finished file into the cache, complete or not at all."""
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(fresh, part)
    part.replace(target)
