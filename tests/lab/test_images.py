"""Images of a few bytes, built on a real host, pushed with a login, listed, and verified."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from images_box import LIMIT, OCI, PROJECT, SCRIPTS, Box, Run, commit, no_change

from uplift.spec.container.image import brief

REPOSITORY = "lab-1:5000/uplift-test/small"
DOCKERFILE = """
FROM scratch
COPY words /words
USER 10001
CMD ["/usr/bin/sleep", "3600"]
"""
BASE = "registry:5000/registry:2"
PORT = 18999
CONTAINER = "uplift-test-small"
SOURCE_URL = "https://git.example.com/small"
# When the small image's source was committed: nine days ago, and that is its age.
DATED = int(time.time()) - 9 * 86400 - 3600
# What everybody who pulls the image could read, in each place that is not a layer. The key is the
# only one that the build is told to be a secret; the other values look like what they are.
PLANTED = """
FROM registry:2
ARG DEPLOY_PASSWORD=@password@
RUN : "$DEPLOY_PASSWORD"
RUN : @npm@
ENV MIRROR=@key@
LABEL team=@gitlab@
"""
# Each build leaves 30 MB of cache, and counts in a cache mount how many there were.
HEAVY = """
FROM registry:2 AS builder
RUN --mount=type=cache,id=@id@,target=/c head -c 30000000 /dev/urandom >/x; \\
    echo >/c/@number@; ls /c | wc -l >/count
FROM scratch
COPY --from=builder /count /count
"""
# An image of a few bytes has nothing to run: a container of it borrows the host's programs.
RUN = "docker run -d -v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro --name"


@pytest.fixture(scope="module")
def box(
    hosts: list[dict[str, Any]],
    pyinfra: Run,
    ssh: Run,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Box]:
    """The host of the registry, whose root may log in there; it builds as well."""
    name = hosts[0]["name"]
    for part in ("docker", "registry", "clients"):
        pyinfra("inventories/lab.py", f"deploys/{part}.py", "-y", "--limit", name)
    folder = tmp_path_factory.mktemp("images")
    bases = {"registry:2": BASE}
    it = Box(name, ssh, dict(environment), folder, REPOSITORY, bases)
    yield it
    it.sh(f"docker rm -f {CONTAINER} {CONTAINER}-2")
    it.sh(f"docker images -q {REPOSITORY} | sort -u | xargs -r docker rmi -f")


@pytest.fixture(scope="module")
def small(box: Box) -> Callable[..., dict[str, Any]]:
    """Make the settings of an image; the words in it are new in each run of these tests."""
    source = box.folder / "source"
    source.mkdir()
    (source / "Dockerfile").write_text(DOCKERFILE)
    (source / "words").write_text(secrets.token_hex(8))
    commit(source, DATED)

    def make(**changed: Any) -> dict[str, Any]:
        plain = {"name": REPOSITORY, "version": "1.0.0", "builder": "dockerfile"}
        return {**plain, "source": str(source), "source_url": SOURCE_URL, **changed}

    return make


@pytest.fixture(scope="module")
def pushed(box: Box, small: Callable[..., dict[str, Any]]) -> dict[str, str]:
    """The image in the registry; its digest by tag."""
    assert box.apply(small()) == 0, box.said
    return box.told()


def test_a_second_run_pushes_nothing_and_asks_once_for_each_tag(
    box: Box, small: Callable[..., dict[str, Any]], pushed: dict[str, str]
) -> None:
    first = box.requests()
    assert [it for it in first if it.split("/")[0] != "GET " and "/uplift-test/small/blobs" in it]
    assert box.apply(small(), options=("-y", "--json")) == 0, box.said
    assert no_change(box.said) == [[box.name]]
    second = box.requests()[len(first) :]
    path = "/v2/uplift-test/small"
    # What Docker sends for one tag of an image for one platform.
    (digest,) = set(pushed.values())
    config = box.manifest(digest)["config"]["digest"]
    along = ["GET /v2/", f"GET {path}/manifests/{digest}", f"GET {path}/blobs/{config}"]
    tags = {it.rpartition(":")[2] for it in ("1.0.0-dockerfile", *pushed)}
    asked = [f"HEAD {path}/manifests/{tag}" for tag in tags]
    assert len(tags) == 2
    assert Counter(second) == Counter([*asked, *along * 2])


def test_the_registry_serves_the_labels_of_the_source_with_the_date_of_its_commit(
    box: Box, small: Callable[..., dict[str, Any]], pushed: dict[str, str]
) -> None:
    source = small()["source"]
    words = ["git", "-C", source, "rev-parse", "HEAD"]
    head = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    found = box.config("1.0.0-dockerfile")
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(DATED))
    assert {key: text for key, text in found["config"]["Labels"].items() if OCI in key} == {
        f"{OCI}created": date,
        f"{OCI}revision": head,
        f"{OCI}source": SOURCE_URL,
        f"{OCI}title": "small",
        f"{OCI}version": "1.0.0",
    }
    # What BuildKit made of SOURCE_DATE_EPOCH.
    assert found["created"] == date


def test_a_login_that_the_registry_refuses_is_said_before_anything_is_built(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    jobs = box.sh("ls /var/lib/uplift/jobs")
    box.sh("cp -a /root/.docker/config.json /root/kept.json")
    try:
        wrong = base64.b64encode(f"deployer:{secrets.token_hex(8)}".encode()).decode()
        box.sh(f'sed -i \'s|\\("auth": *"\\).*"|\\1{wrong}"|\' /root/.docker/config.json')
        assert box.apply(small(version="1.3.0")) == 1
        assert "the registry could not be asked" in box.said and "unauthorized" in box.said
        found = images(box, build=[small()])
        assert found["exit_code"] == 1 and "refuses root's login" in found["errors"][0]
    finally:
        box.sh("mv /root/kept.json /root/.docker/config.json")
    assert wrong not in box.said
    assert box.sh("ls /var/lib/uplift/jobs") == jobs


def images(box: Box, *words: str, **inventory: Any) -> dict[str, Any]:
    """Return what `uplift images` says, and its exit code among it."""
    file = box.inventory(*inventory.pop("build"), **inventory)
    done = box.run("uplift", "images", file, "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode, box.said
    return found


def test_the_list_names_tags_digest_builder_and_the_hosts_that_run_it(
    box: Box, small: Callable[..., dict[str, Any]], pushed: dict[str, str]
) -> None:
    (fixed, digest), *_ = pushed.items()
    before = images(box, build=[small()])
    (one,) = [it for it in before["images"] if it["digest"] == digest]
    assert one["tags"] == sorted(["1.0.0-dockerfile", fixed])
    assert (one["builder"], one["version"], one["hosts"]) == ("dockerfile", "1.0.0", {})
    assert 100 < one["size"] < 10_000 and one["platforms"] == ["linux/amd64"]
    box.sh(f"{RUN} {CONTAINER} {REPOSITORY}@{digest}")
    (one,) = [it for it in images(box, build=[small()])["images"] if it["digest"] == digest]
    assert one["hosts"] == {box.name: [CONTAINER]}
    # What people see, who give no --json.
    done = box.run("uplift", "images", box.inventory(small()))
    assert done.returncode == 0 and REPOSITORY in done.stdout.splitlines()
    cells = [re.split(r" *[┃│] *", line)[1:-1] for line in done.stdout.splitlines()]
    heads = ["tags", "digest", "built by", "age", "size", "runs on"]
    row = [brief(digest), "dockerfile", "9 d", f"{one['size'] / 1e3:.1f} kB", box.name]
    assert heads in cells
    first, second = one["tags"]
    assert [first, *row] in cells and [second, "", "", "", "", ""] in cells


def test_what_runs_without_a_tag_is_listed_and_a_host_that_is_away_is_named(
    box: Box, small: Callable[..., dict[str, Any]], pushed: dict[str, str], closed_port: int
) -> None:
    gone = f"{REPOSITORY}:gone"
    text = f"FROM {REPOSITORY}:1.0.0-dockerfile\\nLABEL a=b\\n"
    box.sh(f"printf '{text}' | docker build -q -t {gone} - && docker push -q {gone}")
    box.sh(f"{RUN} {CONTAINER}-2 {gone}")
    digest = box.digest("gone")
    assert "202" in box.registry(f"uplift-test/small/manifests/{digest}", "-X", "DELETE", "-i")
    away = {"ssh_hostname": "127.0.0.1", "ssh_port": closed_port}
    found = images(box, build=[small()], more=f"away = [('away-1', {away!r})]")
    assert found["exit_code"] == 3
    assert {one["name"]: one["reached"] for one in found["hosts"]} == {
        "away-1": False,
        box.name: True,
    }
    (stray,) = [one for one in found["images"] if one["digest"] == digest]
    assert (stray["tags"], stray["size"]) == ([], None)
    assert stray["hosts"] == {box.name: [f"{CONTAINER}-2"]}
    assert any(one["tags"] for one in found["images"])


def test_a_secret_in_history_environment_or_labels_is_told_by_its_place_and_nothing_is_pushed(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    source = box.folder / "planted"
    source.mkdir()
    values = {
        "key": secrets.token_hex(16),
        "password": secrets.token_hex(8),
        "npm": f"npm_{secrets.token_hex(18)}",
        "gitlab": f"glpat-{secrets.token_hex(10)}",
    }
    text = PLANTED
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    (source / "Dockerfile").write_text(text)
    box.environment["UPLIFT_SECRET_SMALL_KEY"] = values["key"]
    key = {"key": {"secret": "small/key"}}
    planted = small(version="7.0.0", source=str(source), secrets=key)
    before = box.registry("uplift-test/small/tags/list")
    assert box.apply(planted, options=("-y", "-vvv", "--debug")) == 1
    told = {line.rpartition("] ")[2].strip() for line in box.said.splitlines()}
    assert told >= {
        "a secret of this build is in the image's environment",
        "a secret of this build is in the image's history",
        "PASSWORD…: looks like a secret in the image's history",
        "npm_…: looks like a secret in the image's history",
        "glpa…: looks like a secret in the image's history",
        "glpa…: looks like a secret in the image's labels",
    }
    assert "7.0.0-dockerfile" in box.said and "holds secrets, and is not pushed" in box.said
    for value in values.values():
        assert value[:10] not in box.said
    assert box.registry("uplift-test/small/tags/list") == before
    assert "7.0.0" not in box.sh(f"docker image ls --format '{{{{.Tag}}}}' {REPOSITORY}")


@pytest.mark.slow
def test_steps_are_shown_while_the_build_runs(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    # The step ends only once somebody who has read that it began answers at a port of the host.
    source = box.folder / "waiting"
    source.mkdir()
    wait = f"until (: </dev/tcp/127.0.0.1/{PORT}) 2>&1; do sleep 0.2; done; : {box.folder}"
    (source / "Dockerfile").write_text(f"FROM registry:2\nRUN {json.dumps(['bash', '-c', wait])}\n")
    file = box.inventory(small(version="1.1.0", source=str(source)), network="host")
    words = [str(SCRIPTS / "pyinfra"), file, "deploys/images.py", "-y"]
    with subprocess.Popen(
        words, cwd=PROJECT, env=box.environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr
        begun = next((line for line in process.stderr if "until (:" in line), "")
        assert box.name in begun
        box.sh(f"docker run -d --name {CONTAINER}-port -p 127.0.0.1:{PORT}:5000 {BASE}")
        rest, _ = process.stderr.read(), process.wait(LIMIT)
    box.sh(f"docker rm -f {CONTAINER}-port")
    assert process.returncode == 0, rest
    assert "DONE" in rest and "is pushed" in rest


def test_a_failed_step_shows_its_own_lines_and_not_those_of_others(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    source = box.folder / "failing"
    source.mkdir()
    noise = "RUN seq -f noise-%g 3000\n"
    wrong = f"RUN echo {box.folder.name}; echo what went wrong >&2; exit 3\n"
    (source / "Dockerfile").write_text(f"FROM registry:2\n{noise}{wrong}")
    assert box.apply(small(version="1.2.0", source=str(source))) == 1
    assert box.said.count("what went wrong") >= 1 and "exit code: 3" in box.said
    assert "noise-2999" not in box.said
    assert box.digest("1.2.0-dockerfile") == ""


def test_what_is_pushed_is_verified_and_a_push_over_it_by_hand_is_found(
    box: Box, small: Callable[..., dict[str, Any]], pushed: dict[str, str]
) -> None:
    file = box.inventory(small())
    found = box.verify(file)
    assert found["failures"] == [], box.said
    assert found["subjects"]["images"] == {"passed": 5, "failed": 0, "skipped": 0}
    fixed = next(iter(pushed))
    planted = f"{REPOSITORY}:{fixed}"
    hand = (
        f"FROM {REPOSITORY}@{pushed[fixed]}\\nUSER root\\nCOPY .netrc /root/.netrc\\n"
        "COPY .netrc /usr/bin/gcc\\nLABEL io.uplift.builder=poetry\\n"
    )
    box.sh(
        f"rm -rf /tmp/hand && mkdir /tmp/hand && cd /tmp/hand && echo machine >.netrc && "
        f"printf '{hand}' >Dockerfile && docker build -q -t {planted} . && docker push -q {planted}"
    )
    found = box.verify(file)
    assert {one["test"].partition("[")[0] for one in found["failures"]} == {
        "test_its_tags_name_the_digest_that_was_pushed",
        "test_its_labels_say_what_built_it_from_what",
        "test_no_secret_is_in_its_layers_history_or_environment",
    }
    assert "/root/.netrc" in box.said and "label io.uplift.builder" in box.said
    warned = " ".join(one["message"] for one in found["warnings"])
    assert "runs as root" in warned and "/usr/bin/gcc" in warned


def test_a_platform_that_the_host_cannot_run_is_refused_before_anything_is_built(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    jobs = box.sh("ls /var/lib/uplift/jobs")
    assert box.apply(small(version="1.4.0", platforms=["linux/amd64", "linux/riscv64"])) == 1
    assert "cannot build for linux/riscv64: install qemu-user-static" in box.said
    assert box.sh("ls /var/lib/uplift/jobs") == jobs
    assert box.digest("1.4.0-dockerfile") == ""


@pytest.mark.slow
def test_the_cache_is_cut_to_its_limit_and_what_is_left_serves_the_next_build(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    source = box.folder / "heavy"
    source.mkdir()

    def build(number: int, limit: str) -> tuple[str, int]:
        """Return how many builds the cache knows of, and how many MB it holds of its own."""
        text = HEAVY.replace("@id@", box.folder.name).replace("@number@", str(number))
        (source / "Dockerfile").write_text(text)
        image = small(version=f"5.0.{number}", source=str(source))
        assert box.apply(image, cache_limit=limit) == 0, box.said
        made = f"docker create {REPOSITORY}:5.0.{number}-dockerfile none"
        known = box.sh(f"id=$({made}); docker cp $id:/count - | tar -xO; docker rm $id >/dev/null")
        said = box.sh("docker buildx du | sed -n 's/^Private:[^0-9]*//p'")
        return known, megabytes(said)

    box.sh("docker buildx prune -af")
    first = [build(number, "10GB") for number in (1, 2, 3)]
    assert [known for known, _ in first] == ["1", "2", "3"]
    assert first[-1][1] >= 90
    for number in (4, 5):
        known, size = build(number, "60MB")
        assert known == str(number)
        assert 30 <= size <= 60


@pytest.mark.slow
def test_images_of_earlier_builds_go_but_not_what_anything_needs(
    box: Box, small: Callable[..., dict[str, Any]]
) -> None:
    name = f"{REPOSITORY}-kept"
    source = box.folder / "kept"
    source.mkdir()
    (source / "Dockerfile").write_text(DOCKERFILE)
    named = small(name=name, version="1.0.0")

    def build(number: int) -> None:
        (source / "words").write_text(secrets.token_hex(8))
        one = small(name=name, version=f"6.0.{number}", source=str(source))
        assert box.apply(named, one, keep=2) == 0, box.said

    def there() -> set[str]:
        found = box.sh(f"docker image ls --format '{{{{.Tag}}}}' {name}").split()
        return {tag.partition("-")[0] for tag in found}

    box.sh(f"docker images -q {name} | sort -u | xargs -r docker rmi -f")
    record = "/var/lib/uplift/releases/uplift-test-kept"
    try:
        build(1)
        box.sh(f"docker create --name {CONTAINER}-kept {name}:6.0.1-dockerfile")
        build(2)
        id = box.sh(f"docker image inspect -f '{{{{.Id}}}}' {name}:6.0.2-dockerfile")
        box.sh(f"mkdir -p {record}/1; printf 'outcome good\nlocal {id}\n' >{record}/1/outcome")
        build(3)
        box.sh(f"docker tag {name}:6.0.3-dockerfile elsewhere/kept:1")
        build(4)
        build(5)
        # The oldest is named by the settings, one has a container, and one is a way back.
        assert there() == {"1.0.0", "6.0.1", "6.0.2", "6.0.4", "6.0.5"}
        assert box.sh("docker image ls -q elsewhere/kept:1") != ""
        box.sh(f"docker rm {CONTAINER}-kept; rm -r {record}")
        build(6)
        assert there() == {"1.0.0", "6.0.5", "6.0.6"}
    finally:
        box.sh(f"docker rm -f {CONTAINER}-kept; rm -rf {record}; docker rmi elsewhere/kept:1")
        box.sh(f"docker images -q {name} | sort -u | xargs -r docker rmi -f")


def megabytes(said: str) -> int:
    """Return a size as BuildKit writes it."""
    number, unit = re.fullmatch(r"([0-9.]+)([kMG]?B)", said).groups()  # type: ignore[union-attr]
    return int(float(number) * {"B": 1e-6, "kB": 1e-3, "MB": 1, "GB": 1e3}[unit])
