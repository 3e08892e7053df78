"""The tools that are compared: how each is got, and how each applies the state."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import compare
import nexus_work
import work
from nexus_server import NAME, PORT, Server, call, done

VENV = work.ROOT / ".uplift/bench-venv/bin"
COLLECTIONS = work.ROOT / ".uplift/bench-collections"
COLLECTION = "cloudkrafter.nexus:==1.23.1"
SHOWN = 240  # letters of what a tool says when it cannot be had


class NotToBeHadError(Exception):
    """A tool is not on this machine and cannot be got from where it is published."""


class Way(Protocol):
    """A tool."""

    title: str
    # Whether it gives a new server's administrator the wanted password by itself.
    sets_first_password: bool

    def get(self, folder: Path) -> None:
        """Get what it needs; raise where that is not to be had."""

    def apply(self, server: Server, folder: Path) -> None:
        """Bring the server to the state."""


class Uplift:
    """This project: pyinfra with one operation."""

    title = "uplift"
    sets_first_password = True

    def get(self, folder: Path) -> None:
        """Need nothing."""

    def apply(self, server: Server, folder: Path) -> None:
        """Run the deploy."""
        given = {
            "nexus": nexus_work.uplift(),
            "address": f"http://127.0.0.1:{PORT}",
            "container": NAME,
        }
        environment = {
            "UPLIFT_LAB": server.lab,
            "UPLIFT_BENCH": json.dumps(given),
            "UPLIFT_SECRET_BENCH_ADMIN": server.password,
            "UPLIFT_SECRET_BENCH_READER": server.reader,
            "PYINFRA_PROGRESS": "off",
        }
        words = ("inventories/lab.py", "bench/nexus_deploy.py", "-y")
        done(call(compare.BIN / "pyinfra", *words, "--limit", server.host["name"], env=environment))


class OpenTofu:
    """OpenTofu with the provider `datadrivers/nexus`; its state file stays between the runs."""

    title = "OpenTofu"
    sets_first_password = False

    def get(self, folder: Path) -> None:
        """Get the provider, from its registry or where the user's CLI configuration says."""
        if shutil.which("tofu") is None:
            raise NotToBeHadError("there is no `tofu` on the PATH")
        (folder / "main.tf.json").write_text(json.dumps(nexus_work.opentofu()))
        got = call("tofu", "init", "-no-color", "-input=false", cwd=folder)
        if got.returncode:
            raise NotToBeHadError(f"tofu init: {said(got)}")

    def apply(self, server: Server, folder: Path) -> None:
        """Apply the configuration."""
        environment = {
            "TF_VAR_url": server.url,
            "TF_VAR_password": server.password,
            "TF_VAR_reader": server.reader,
        }
        words = ("apply", "-auto-approve", "-no-color", "-input=false")
        done(call("tofu", *words, cwd=folder, env=environment))


class Collection:
    """ansible-core with the collection `cloudkrafter.nexus`."""

    title = "Ansible collection"
    sets_first_password = False

    def get(self, folder: Path) -> None:
        """Get the collection, from Galaxy or from the server that Ansible is set up with."""
        words = ("collection", "install", "-p", COLLECTIONS, COLLECTION)
        got = call(VENV / "ansible-galaxy", *words)
        if got.returncode:
            raise NotToBeHadError(f"ansible-galaxy: {said(got)}")

    def apply(self, server: Server, folder: Path) -> None:
        """Run the playbook."""
        known = nexus_work.collection(
            server.host["address"], server.port, server.password, server.reader
        )
        (folder / "vars.json").write_text(json.dumps(known))
        playbook = work.ROOT / "bench/nexus_playbook.yml"
        environment = {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}
        words = ("-i", "localhost,", "-e", "@vars.json", playbook)
        done(call(VENV / "ansible-playbook", *words, cwd=folder, env=environment))


WAYS: tuple[Way, ...] = (Uplift(), OpenTofu(), Collection())


def said(result: subprocess.CompletedProcess[str]) -> str:
    """Return a failed command's own words from its first error on, without addresses."""
    text = " ".join(f"{result.stdout} {result.stderr}".split())
    found = re.search(r"\berror\b.*", text, flags=re.IGNORECASE)
    return re.sub(r"https?://[^\s']+", "(address)", found[0] if found else text)[:SHOWN]
