"""A host of a lab that is measured."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import compare
import work


def lab_host(name: str, needs: str, *parts: str) -> dict[str, Any]:
    """Bring the lab up and return its first host, as ``uplift lab status --json`` shows it.

    Args:
        name: of the lab.
        needs: an image that must be in its registry.
        parts: deploys that the host needs.
    """
    uplift = str(compare.BIN / "uplift")
    words = ["--name", name, "--hosts", "1", "--json"]
    done = subprocess.run([uplift, "lab", "up", *words], stdout=subprocess.PIPE, check=True)
    image = [uplift, "lab", "image", needs, "--name", name]
    subprocess.run(image, stdout=subprocess.DEVNULL, check=True)
    host: dict[str, Any] = json.loads(done.stdout)["hosts"][0]
    for part in parts:
        subprocess.run(
            [
                *(str(compare.BIN / "pyinfra"), "inventories/lab.py", f"deploys/{part}.py", "-y"),
                *("--limit", host["name"]),
            ],
            cwd=work.ROOT,
            env={**os.environ, "UPLIFT_LAB": name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    return host
