"""Nexus from Maven Central: the zip of its open part, checked and unpacked."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from uplift.lab.images import tools
from uplift.lab.images.context import Entry
from uplift.lab.images.kit import Kit
from uplift.lab.images.places import cache_dir
from uplift.lab.images.processes import run
from uplift.spec.errors import UpliftError

GROUP = "org.sonatype.nexus.assemblies"
ARTIFACT = "nexus-base-template"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get"
TIME_LIMIT = 1800.0


def fetch(version: str, sha256: str) -> Callable[[Kit], list[Entry]]:
    """Make the step that brings the files of a Nexus version to ``nexus/`` of the context.

    Args:
        version: with the build number, as ``3.30.0-01``.
        sha256: of the zip file.
    """

    def files(kit: Kit) -> list[Entry]:
        return _unpack(_download(version, sha256, kit), version, kit.folder / "nexus")

    return files


def _download(version: str, sha256: str, kit: Kit) -> Path:
    """Have the zip in the cache, under its final name only once it is checked."""
    target = cache_dir() / "downloads" / f"{ARTIFACT}-{version}.zip"
    if target.is_file() and _sha256(target) == sha256:
        return target
    tools.require({"mvn": ("maven",)}, f"Nexus {version}", kit.report, install=kit.install)
    kit.report(f"Nexus {version}: downloading about 130 MB with Maven")
    repository = cache_dir() / "maven"
    command = ["mvn", "-B", "-ntp", PLUGIN, f"-Dartifact={GROUP}:{ARTIFACT}:{version}:zip"]
    command += ["-Dtransitive=false", f"-Dmaven.repo.local={repository}"]
    run(command, kit.report, limit=TIME_LIMIT)
    folder = repository.joinpath(*GROUP.split("."), ARTIFACT, version)
    archive = folder / f"{ARTIFACT}-{version}.zip"
    found = _sha256(archive)
    if found != sha256:
        shutil.rmtree(folder)
        raise UpliftError(f"{archive.name}: sha256 is {found}, expected {sha256}.")
    target.parent.mkdir(exist_ok=True)
    archive.replace(target)
    shutil.rmtree(folder)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _unpack(archive: Path, version: str, folder: Path) -> list[Entry]:
    prefix = f"{ARTIFACT}-{version}/"
    entries = []
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir() or not info.filename.startswith(prefix):
                continue
            path = Path(packed.extract(info, folder))
            executable = bool((info.external_attr >> 16) & 0o100)
            name = f"nexus/{info.filename.removeprefix(prefix)}"
            entries.append(Entry(name, path, executable))
    return entries
