"""Images for several platforms, arm64 under qemu, joined to one list at a registry with a login."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images_box import Box, Run, no_change

pytestmark = pytest.mark.slow

REPOSITORY = "lab-1:5000/uplift-test/several"
BINFMT = "/mnt/uplift-binfmt"
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# Its one step runs a program of the platform.
DOCKERFILE = """
FROM scratch
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox uname -m >/machine"]
COPY words /words
USER 10001
CMD ["/bin/busybox", "cat", "/machine"]
"""


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    pyinfra: Run,
    ssh: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """The host of the registry, with qemu for arm64 as Debian has it."""
    name = hosts[0]["name"]
    for part in ("docker", "registry", "clients"):
        pyinfra("inventories/lab.py", f"deploys/{part}.py", "-y", "--limit", name)
    it = Box(name, ssh, dict(environment), tmp_path_factory.mktemp("several"), REPOSITORY, {})
    it.sh("apt-get update -qq; apt-get install -y --no-install-recommends qemu-user-static")
    # A real host registers at boot; one that is a container has to be helped.
    entry = "qemu-aarch64"
    it.sh(f"mkdir -p {BINFMT}; mountpoint -q {BINFMT} || mount -t binfmt_misc none {BINFMT}")
    it.sh(f"cd {BINFMT}; [ -e {entry} ] || cat /usr/lib/binfmt.d/{entry}.conf >register")
    yield it
    it.sh(f"echo -1 >{BINFMT}/{entry}; umount {BINFMT}; rmdir {BINFMT}")
    it.sh(f"docker images -q {REPOSITORY} | sort -u | xargs -r docker rmi -f")


@pytest.fixture(scope="module")
def image(box: Box) -> dict[str, Any]:
    """The settings of an image for two platforms; its words are new in each run."""
    source = box.folder / "source"
    source.mkdir()
    (source / "Dockerfile").write_text(DOCKERFILE)
    (source / "words").write_text(secrets.token_hex(8))
    box.sh("dpkg --add-architecture arm64; apt-get update -qq")
    for architecture in ("amd64", "arm64"):
        packed = box.sh(
            "cd $(mktemp -d) && chmod 755 . && "
            f"apt-get download -qq busybox-static:{architecture} && dpkg -x busybox*.deb . && "
            "base64 -w 0 usr/bin/busybox"
        )
        file = source / f"busybox-{architecture}"
        file.write_bytes(base64.b64decode(packed))
        file.chmod(0o755)
    box.sh("dpkg --remove-architecture arm64; apt-get update -qq")
    plain = {"name": REPOSITORY, "version": "1.0.0", "builder": "dockerfile"}
    return {**plain, "source": str(source), "platforms": list(MACHINES)}


@pytest.fixture(scope="module")
def pushed(box: Box, image: dict[str, Any]) -> dict[str, str]:
    """The list in the registry; its digest by tag."""
    assert box.apply(image) == 0, box.said
    return box.told()


def test_one_digest_gives_each_platform_its_own_image(box: Box, pushed: dict[str, str]) -> None:
    (fixed, digest), *_ = pushed.items()
    assert box.digest(fixed) == box.digest("1.0.0-dockerfile") == digest
    for platform, machine in MACHINES.items():
        # By one digest a host has one image.
        box.sh(f"docker images -q {REPOSITORY} | sort -u | xargs -r docker rmi -f")
        assert box.sh(f"docker run --rm --platform {platform} {REPOSITORY}@{digest}") == machine


def test_a_second_run_builds_and_pushes_nothing(
    box: Box, image: dict[str, Any], pushed: dict[str, str]
) -> None:
    before = len(box.requests())
    assert box.apply(image, options=("-y", "--json")) == 0, box.said
    assert no_change(box.said) == [[box.name]]
    assert {it.split()[0] for it in box.requests()[before:]} <= {"GET", "HEAD"}


def test_it_is_listed_once_with_its_platforms_and_verified(
    box: Box, image: dict[str, Any], pushed: dict[str, str]
) -> None:
    file = box.inventory(image)
    found = json.loads(box.run("uplift", "images", file, "--json").stdout)["images"]
    (one,) = [it for it in found if it["digest"] in pushed.values()]
    assert one["tags"] == sorted(["1.0.0-dockerfile", *pushed])
    assert one["platforms"] == list(MACHINES)
    assert box.verify(file)["failures"] == [], box.said


def test_a_tag_that_was_moved_by_hand_goes_back_to_the_list_without_a_build(
    box: Box, image: dict[str, Any], pushed: dict[str, str]
) -> None:
    (fixed, digest), *_ = pushed.items()
    box.sh(
        f"docker pull -q {REPOSITORY}:{fixed}-arm64 && docker tag {REPOSITORY}:{fixed}-arm64 "
        f"{REPOSITORY}:1.0.0-dockerfile && docker push -q {REPOSITORY}:1.0.0-dockerfile"
    )
    assert box.digest("1.0.0-dockerfile") != digest
    before = len(box.requests())
    assert box.apply(image) == 0, box.said
    assert box.digest("1.0.0-dockerfile") == digest
    writes = [it for it in box.requests()[before:] if it.split()[0] not in ("GET", "HEAD")]
    assert writes == ["PUT /v2/uplift-test/several/manifests/1.0.0-dockerfile"]


def test_a_base_that_is_for_one_platform_alone_gives_an_error_and_no_image(
    box: Box, image: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry:5000/registry:2\nCOPY words /words\n")
    (tmp_path / "words").write_text(secrets.token_hex(8))
    assert box.apply({**image, "version": "1.1.1", "source": str(tmp_path)}) == 1
    assert "built for linux/arm64, its programs are for another machine" in box.said
    assert box.digest("1.1.1-dockerfile") == ""
