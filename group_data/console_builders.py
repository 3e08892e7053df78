"""The images of the example application, for inventories/console.py: built on lab-1."""

from shutil import which

from uplift.secrets import lab_secret

# Only this name is data; the rest of the file is how it is made.
__all__ = ["images"]

_REGISTRY = "lab-1:5000"
_NEXUS = "http://lab-1:28081/repository"
_READER = lab_secret("nexus/reader")


def _backend(version: str, builder: str, source: str) -> dict[str, object]:
    return {
        "name": f"{_REGISTRY}/console",
        "version": version,
        "builder": builder,
        "source": f"examples/console/{source}",
        "entry_point": ["console"],
        # Packages of the team and public ones, all by the Nexus of the lab.
        "index": {"url": f"{_NEXUS}/pypi/simple", "username": "reader", "password": _READER},
    }


_WEB = {
    "name": f"{_REGISTRY}/console-web",
    "version": "2.0.0",
    "builder": "dockerfile",
    "source": "examples/console/web",
    "build_args": {"NPM_REGISTRY": f"{_NEXUS}/npm/", "NPM_USER": "reader"},
    "secrets": {"npm-password": _READER},
}

# Never becomes ready: a rollout of it is put back.
_BROKEN = {
    "name": f"{_REGISTRY}/console",
    "version": "2.1.0",
    "builder": "dockerfile",
    "source": "examples/console/broken",
}

images = {
    "build": [
        _backend("1.4.0", "poetry", "backend-1.4"),
        _backend("2.0.0", "uv", "backend"),
        _BROKEN,
        # Its npm package is packed by npm, which not every machine has.
        *([_WEB] if which("npm") else []),
    ],
    # The lab's registry plays the public one.
    "contexts": {
        base: f"registry:5000/{base}" for base in ("python:3.13-slim", "node:20-slim", "nginx:1.26")
    },
    # Steps of a build reach lab-1 by its name.
    "network": "host",
}
