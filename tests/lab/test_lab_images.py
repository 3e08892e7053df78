"""Images of the lab on a real Engine: cached, built, pulled, interrupted, removed, and run."""

from __future__ import annotations

import io
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest
import requests
from docker.errors import ImageNotFound
from docker.models.containers import Container

from uplift.lab import images
from uplift.lab.images import catalog, context, engine
from uplift.lab.images.catalog import Recipe
from uplift.lab.images.context import Entry

pytestmark = pytest.mark.lab

SERVICE_LIMIT = 600  # seconds: a first start of Nexus on a loaded machine takes minutes

# A process of its own, to be killed or to race: it knows the same small image as the test.
SCRIPT = textwrap.dedent("""\
    import sys
    from uplift.lab import images
    from uplift.lab.images import catalog, context
    from uplift.lab.images.catalog import Recipe
    from uplift.lab.images.context import Entry
    name, dockerfile = sys.argv[1:]
    catalog.RECIPES[name] = Recipe(name, name, "small", public=False)
    files = context.recipe_files
    context.recipe_files = lambda folder: (
        [Entry("Dockerfile", dockerfile.encode())] if folder == "small" else files(folder)
    )
    print(images.ensure(name, lambda line: print(line, flush=True)).how, flush=True)
    """)


def ignore(_: str) -> None:
    """Take a line of progress."""


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return docker.from_env()


@pytest.fixture
def small(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., str]]:
    """Make up an image that nobody has; what was stored of it is removed at the end."""
    made: list[str] = []
    files = context.recipe_files
    dockerfiles: dict[str, str] = {}

    def recipe_files(folder: str) -> list[Entry]:
        if folder in dockerfiles:
            return [Entry("Dockerfile", dockerfiles[folder].encode())]
        return files(folder)

    def make(dockerfile: str, *, public: bool = False) -> str:
        name = f"test-{secrets.token_hex(4)}"
        recipe = Recipe(name, f"{name}:1", "small", public=public)
        monkeypatch.setitem(catalog.RECIPES, name, recipe)  # type: ignore[arg-type]
        dockerfiles["small"] = dockerfile
        made.append(name)
        return name

    monkeypatch.setattr(context, "recipe_files", recipe_files)
    yield make
    images.remove([image for image in images.stored() if image.name in made])


def of(name: str) -> list[images.Image]:
    return [image for image in images.stored() if image.name == name]


def process(name: str, dockerfile: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name, dockerfile],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


DOCKERFILE = "ARG BASE\nFROM ${BASE}\nRUN echo made > /made\n"
SLOW = "ARG BASE\nFROM ${BASE}\nRUN echo first > /first\nRUN sleep 5\n"


@pytest.mark.parametrize("name", ["host", "registry"])
def test_the_second_time_nothing_is_built(name: str) -> None:
    images.ensure(name, ignore)
    lines: list[str] = []
    again = images.ensure(name, lines.append)
    assert again.how == "cached"
    assert lines == []
    assert again.tag in [image.tag for image in images.stored()]


def test_an_image_is_built_once_then_removed_and_nothing_else(
    small: Callable[..., str], client: docker.DockerClient
) -> None:
    name = small(DOCKERFILE)
    first = images.ensure(name, ignore)
    assert first.how == "built from packages"
    assert images.ensure(name, ignore).how == "cached"
    derived, _ = client.images.build(  # a person's own image, which inherits our labels
        fileobj=io.BytesIO(f"FROM {first.tag}\nRUN echo theirs > /theirs\n".encode()),
        tag=f"{name}-theirs",
        rm=True,
    )
    others = {image.tag for image in images.stored()} - {first.tag}
    try:
        assert [image.tag for image in of(name)] == [first.tag]
        assert images.remove(of(name)) == []
        assert {image.tag for image in images.stored()} == others
        assert client.images.get(f"{name}-theirs").id == derived.id
    finally:
        client.images.remove(f"{name}-theirs")


def test_an_image_in_use_stays_and_is_named(
    small: Callable[..., str], client: docker.DockerClient
) -> None:
    name = small(DOCKERFILE)
    tag = images.ensure(name, ignore).tag
    box = client.containers.create(tag, "true")
    try:
        (line,) = images.remove(of(name))
        assert line.startswith(f"{tag}: ")
    finally:
        box.remove()
    assert images.remove(of(name)) == []


def test_a_killed_build_is_gone_on_with(small: Callable[..., str]) -> None:
    name = small(SLOW)
    killed = process(name, SLOW)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "sleep 5" in line:
            killed.kill()
            break
    assert killed.wait(60) == -9
    assert [image.how for image in of(name)] in ([], ["left by an interrupted build"])
    lines: list[str] = []
    assert images.ensure(name, lines.append).how == "built from packages"
    assert any("left by an interrupted build" in line for line in lines)
    assert len(of(name)) == 1


def test_two_processes_build_an_image_once(small: Callable[..., str]) -> None:
    name = small(SLOW)
    both = [process(name, SLOW) for _ in range(2)]
    said = sorted(one.communicate(timeout=300)[0].splitlines()[-1] for one in both)
    assert said == ["built from packages", "cached"]


def test_a_registry_that_answers_is_preferred(
    small: Callable[..., str], client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = small(DOCKERFILE, public=True)
    base = images.ensure("debian:trixie", ignore).tag
    with _service("registry", 5000) as (_, address):
        wait_for(f"http://{address}/v2/")
        for reference in (images.lab_tag("debian:trixie"), f"{name}:1"):
            client.images.get(base).tag(f"{address}/{reference}")
            client.images.push(f"{address}/{reference}")
            client.images.remove(f"{address}/{reference}", noprune=True)
        monkeypatch.setenv("UPLIFT_LAB_REGISTRY", address)
        assert images.ensure(name, ignore).how == f"pulled from {address}/{name}:1"
        assert images.ensure(name, ignore).how == "cached"
        with pytest.raises(ImageNotFound):
            client.images.get(f"{address}/{name}:1")


def test_a_registry_that_lacks_the_image_is_passed_over(
    small: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = small(DOCKERFILE, public=True)
    monkeypatch.setattr(engine, "registry_answers", lambda _: True)
    monkeypatch.setenv("UPLIFT_LAB_REGISTRY", "127.0.0.1:1")
    lines: list[str] = []
    assert images.ensure(name, lines.append).how == "built from packages"
    assert any("not pulled" in line for line in lines)


# Services


@contextmanager
def _service(name: str, port: int) -> Iterator[tuple[Container, str]]:
    client = docker.from_env()
    tag = images.ensure(name, ignore).tag
    box = client.containers.run(tag, detach=True, ports={f"{port}/tcp": ("127.0.0.1", None)})
    try:
        box.reload()
        yield box, f"127.0.0.1:{box.ports[f'{port}/tcp'][0]['HostPort']}"
    finally:
        box.remove(force=True, v=True)


def wait_for(url: str) -> bytes:
    end = time.monotonic() + SERVICE_LIMIT
    while True:
        with suppress(requests.RequestException):
            answer = requests.get(url, timeout=10)
            if answer.status_code == 200:
                return answer.content
        assert time.monotonic() < end, f"{url} does not answer"
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.29.2", "3.30.0", "3.71.0"])
def test_nexus_starts_and_can_be_written_to(version: str) -> None:
    with _service(f"nexus:{version}", 8081) as (box, address):
        wait_for(f"http://{address}/service/rest/v1/status/writable")
        code, password = box.exec_run(["cat", "/nexus-data/admin.password"])
        assert code == 0
        assert len(password) == 36
        assert box.exec_run(["id", "-u"]).output.strip() == b"200"
        assert f"Started Sonatype Nexus OSS {version}".encode() in box.logs()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.7.11", "2.7.12"])
def test_influxdb_starts_says_its_version_and_waits_for_its_setup(version: str) -> None:
    with _service(f"influxdb:{version}", 8086) as (box, address):
        assert f'"version":"v{version}"'.encode() in wait_for(f"http://{address}/health").replace(
            b" ", b""
        )
        assert b"true" in wait_for(f"http://{address}/api/v2/setup")
        assert box.exec_run(["stat", "-c", "%u %a", "/var/lib/influxdb2"]).output == b"1000 700\n"


@pytest.mark.slow
def test_redis_answers_and_keeps_its_data() -> None:
    with _service("redis", 6379) as (box, _):
        wait_for_redis(box)
        box.exec_run(["redis-cli", "set", "key", "value"])
        box.restart()
        wait_for_redis(box)
        assert b"value" in box.exec_run(["redis-cli", "get", "key"]).output


def wait_for_redis(box: Container) -> None:
    end = time.monotonic() + 60
    while box.exec_run(["redis-cli", "ping"]).output.strip() != b"PONG":
        assert time.monotonic() < end, "redis does not answer"
        time.sleep(0.2)


@pytest.mark.slow
def test_python_has_venv_and_pip(client: docker.DockerClient, tmp_path: Path) -> None:
    tag = images.ensure("python", ignore).tag
    script = "python --version && python3 -m venv /tmp/v && /tmp/v/bin/pip --version"
    said = client.containers.run(tag, ["sh", "-c", script], remove=True)
    assert said.startswith(b"Python 3.13")
