"""The example application: built by Poetry and by uv, switched under load, opened in a browser."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import ssh_words
from tests.lab.console_box import INVENTORY, LIMIT, take_away
from tests.lab.images_box import PROJECT, Box
from tests.lab.prober import Prober, WebSocket

pytestmark = pytest.mark.slow

POETRY, UV = "1.4.0-poetry", "2.0.0-uv"
RESTART = 1012  # close code of a WebSocket whose server is replaced
LEAST = 1000  # requests to each host
PAGE = Path(__file__).parent / "console/page.py"

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Site:
    """The console on its hosts."""

    hosts: list[dict[str, Any]]
    ssh: Run
    pyinfra: Run
    uplift: Run

    def deploy(self, tag: str) -> subprocess.CompletedProcess[str]:
        data = ("--data", "app=console", "--data", f"tag={tag}")
        return self.pyinfra(INVENTORY, "deploys/app.py", *data, "-y", "--json")

    def back(self, to: str) -> None:
        self.uplift("rollback", INVENTORY, "console", "--to", to, limit=LIMIT)

    def sh(self, host: str, script: str) -> str:
        return str(self.ssh(host, f"sudo sh -c {shlex.quote(script)}").stdout).strip()

    def get(self, path: str) -> list[dict[str, Any]]:
        """Return what each host answers, through HAProxy."""
        command = f"curl -s --noproxy '*' http://127.0.0.1{path}"
        return [json.loads(self.sh(host["name"], command)) for host in self.hosts]

    def versions(self) -> list[str]:
        return [answer["version"] for answer in self.get("/version")]

    def probers(self) -> list[Prober]:
        places = [(host["address"], int(host["ports"]["80"])) for host in self.hosts]
        return [Prober(*place, "/version") for place in places]

    def state(self) -> list[str]:
        """Return all that makes up what serves: image, settings, files, containers of any state."""
        script = """
        for name in $(docker ps -q --filter name=console- | sort); do
          docker inspect -f '{{.Name}} {{.Image}} {{.Config.User}} {{json .Config.Env}}' $name
          docker inspect -f '{{json .HostConfig.NetworkMode}} {{json .HostConfig.Binds}}' $name
        done | sort
        docker ps -a --format '{{.Names}} {{.State}}' | sort
        """
        return [self.sh(host["name"], script) for host in self.hosts]


def changed(done: subprocess.CompletedProcess[str]) -> list[str]:
    operations = json.loads(done.stdout)["results"]["operations"]
    return [operation["name"] for operation in operations if operation["success"]]


@pytest.fixture(scope="module")
def site(lab: dict[str, Any], lab_name: str, ssh: Run, pyinfra: Run, uplift: Run) -> Iterator[Site]:
    """All images in the site's registry; the release of Poetry and the page on every host.

    Both applications are taken away afterwards: others want their ports.
    """
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", limit=LIMIT)
    for image in ("node", "nginx"):
        uplift("lab", "image", image, "--name", lab_name, limit=LIMIT)
    pyinfra(INVENTORY, "deploys/images.py", "-y", limit=LIMIT)
    hosts = [host for host in lab["hosts"] if "apps" in host["groups"]]
    made = Site(hosts, ssh, pyinfra, uplift)
    pyinfra(INVENTORY, "deploys/app.py", "-y", limit=LIMIT)
    yield made
    take_away(lab, uplift, ssh)


@pytest.mark.parametrize(
    ("builder", "source", "forgotten"),
    [
        # pip installs the installer first; then uv and Poetry ask for the packages.
        ("uv", "backend", "-a"),
        ("uv", "backend", "--filter type=exec.cachemount"),
        ("poetry", "backend-1.4", "--filter type=exec.cachemount"),
    ],
    ids=["pip", "uv", "poetry"],
)
def test_a_login_that_nexus_refuses_is_told_by_a_build_which_pushes_nothing(
    site: Site,
    environment: dict[str, str],
    tmp_path: Path,
    builder: str,
    source: str,
    forgotten: str,
) -> None:
    # With the right one these projects were built a moment ago. What the builder remembers of that
    # needs no login: the project is changed, and the downloads are forgotten.
    wrong = secrets.token_hex(16)
    env = {**environment, "UPLIFT_SECRET_NEXUS_READER": wrong}
    bases = {"python:3.13-slim": "registry:5000/python:3.13-slim"}
    box = Box("lab-1", site.ssh, env, tmp_path, "lab-1:5000/console", bases)
    changed = shutil.copytree(PROJECT / "examples/console" / source, tmp_path / source)
    with (changed / "pyproject.toml").open("a") as file:
        file.write(f"\n# {wrong[:8]}\n")
    box.sh(f"docker buildx prune -f {forgotten}")
    index = "http://lab-1:28081/repository/pypi/simple"
    image = {
        "name": box.repository,
        "version": "2.9.0",
        "builder": builder,
        "source": str(changed),
        "entry_point": ["console"],
        "index": {"url": index, "username": "reader", "password": {"secret": "nexus/reader"}},
    }
    assert box.apply(image, network="host") == 1, box.said
    assert f"{index} refuses the user 'reader'" in box.said
    assert "uplift secrets set nexus/reader" in box.said
    assert wrong not in box.said
    assert box.digest(f"2.9.0-{builder}") == ""
    assert box.digest("2.0.0-uv") != ""


@pytest.fixture
def poetry(site: Site) -> Site:
    site.deploy(POETRY)
    assert site.versions() == ["1.4.0"] * len(site.hosts)
    return site


def test_what_is_built_and_what_runs_is_not_built_or_started_again(site: Site) -> None:
    assert changed(site.pyinfra(INVENTORY, "deploys/images.py", "-y", "--json")) == []
    before = site.deploy(UV) and site.state()
    assert changed(site.deploy(UV)) == []
    assert site.state() == before


def test_each_tool_installed_its_own_image_and_labels_say_so(poetry: Site) -> None:
    assert {about["installer"].split()[0] for about in poetry.get("/api/about")} == {"Poetry"}
    poetry.deploy(UV)
    assert {about["installer"] for about in poetry.get("/api/about")} == {"uv"}
    label = "docker inspect -f '{{index .Config.Labels \"io.uplift.builder\"}}' "
    named = "$(docker ps -aq --filter name=console-blue --filter name=console-green)"
    for host in poetry.hosts:
        assert set(poetry.sh(host["name"], label + named).split()) == {"poetry", "uv"}


class Page:
    """A page at one host: its WebSocket, and all that it is told until it is sent away."""

    def __init__(self, host: dict[str, Any]) -> None:
        self.heard: list[dict[str, Any]] = []
        self.code = 0
        # The server asks every 20 seconds whether anybody is there.
        self._socket = WebSocket(host["address"], int(host["ports"]["80"]), timeout=120)
        self._heard_one = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self._heard_one.wait(30)

    def _listen(self) -> None:
        try:
            while True:
                self.heard.append(json.loads(self._socket.hear()))
                self._heard_one.set()
        except ConnectionError as closed:
            self.code = closed.args[0]

    def left(self) -> int:
        """Wait until it was sent away, and return the code with which it was."""
        self._thread.join(60)
        return self.code

    @property
    def notes(self) -> list[str]:
        return [one["note"]["text"] for one in self.heard if one["type"] == "note"]


def test_to_uv_and_back_under_load_no_request_fails_and_pages_stay_until_they_are_sent_away(
    poetry: Site,
) -> None:
    pages = [Page(host) for host in poetry.hosts]
    probers = poetry.probers()
    for prober in probers:
        prober.__enter__()
    try:
        poetry.deploy(UV)
        poetry.back("poetry")
    finally:
        for prober in probers:
            prober.__exit__()
    for prober, page in zip(probers, pages, strict=True):
        assert prober.failures == []
        assert {json.loads(answer)["version"] for answer in prober.answers} == {"1.4.0", "2.0.0"}
        assert sum(prober.answers.values()) >= LEAST
        assert page.left() == RESTART
        assert page.heard[0]["version"] == "1.4.0"
    assert {Page(host).heard[0]["version"] for host in poetry.hosts} == {"1.4.0"}


def test_a_note_written_at_one_host_is_told_to_the_page_at_another(poetry: Site) -> None:
    text = f"note {secrets.token_hex(4)}"
    first, second = poetry.hosts[0], poetry.hosts[-1]
    page = Page(second)
    header = "-H 'Content-Type: application/json'"
    body = shlex.quote(json.dumps({"text": text}))
    poetry.sh(first["name"], f"curl -sf {header} -d {body} http://127.0.0.1/api/notes")
    for _ in range(100):
        if text in page.notes:
            break
        threading.Event().wait(0.1)
    assert text in page.notes


def test_back_and_forth_it_ends_where_it_began(site: Site) -> None:
    site.deploy(POETRY)
    site.deploy(UV)
    before = site.state()
    site.back("poetry")
    assert site.versions() == ["1.4.0"] * len(site.hosts)
    assert site.state() != before
    site.back("uv")
    assert site.versions() == ["2.0.0"] * len(site.hosts)
    assert site.state() == before


def test_metrics_and_the_drain_are_not_reached_from_outside(site: Site) -> None:
    name = site.hosts[0]["name"]
    for path in ("/metrics", "/health/drain", "/healthz"):
        said = site.sh(name, f"curl -s --noproxy '*' http://127.0.0.1{path}")
        assert "<title>Console</title>" in said
    # On the host itself, past HAProxy, the one that serves has all of them.
    named = "--filter name=console-blue --filter name=console-green"
    container = site.sh(name, f"docker ps {named} --format '{{{{.Names}}}}'")
    address = site.sh(name, f"docker port {container} 8000/tcp")
    assert address in ("127.0.0.1:18001", "127.0.0.1:18002")
    curl, asked = "curl -s --noproxy '*'", secrets.token_hex(8)
    lives = site.sh(name, f"{curl} -H 'X-Request-ID: {asked}' http://{address}/healthz")
    assert json.loads(lives) == {"status": "ok"}
    metrics = site.sh(name, f"{curl} http://{address}/metrics").splitlines()
    assert [one for one in metrics if one.startswith("console_websockets ")]
    assert [one for one in metrics if 'operation="http_GET",outcome="ok"}' in one]
    stranger = f"{curl} -o /dev/null -w '%{{http_code}}' -X POST http://{address}/health/drain"
    assert site.sh(name, stranger) == "401"
    # And logs each request as one line of JSON.
    line = json.loads(site.sh(name, f"docker logs {container} 2>&1 | grep {asked}"))
    wanted = {"service": "console", "message": "GET answered", "request_id": asked}
    assert line.items() >= {**wanted, "path": "/healthz", "status": 200}.items()


@pytest.fixture(scope="module")
def browser(site: Site) -> dict[str, Any]:
    """A host with Chromium of its distribution."""
    host = site.hosts[-1]
    install = "apt-get install -qq --no-install-recommends chromium chromium-driver >/dev/null"
    frontend = "export DEBIAN_FRONTEND=noninteractive"
    site.sh(host["name"], f"{frontend}; apt-get update -qq && {install}")
    return host


def test_the_page_opens_gets_messages_and_follows_a_new_release(
    poetry: Site, browser: dict[str, Any]
) -> None:
    script = shlex.quote(PAGE.read_text())
    poetry.ssh(browser["name"], f"printf %s {script} >page.py")
    # Another host than its own, by its name, as a person reaches it.
    url = f"http://{poetry.hosts[0]['name']}/"
    run = f"uv run -q --no-project --with 'selenium>=4.20,<5' python page.py {url} 2.0.0"
    person = subprocess.Popen(
        [*ssh_words(browser), run],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert person.stdout is not None and person.stderr is not None
        opened = person.stdout.readline()
        assert opened, person.stderr.read()
        before = json.loads(opened)
        poetry.deploy(UV)
        said, wrong = person.communicate(timeout=LIMIT)
    finally:
        person.kill()
    assert (before["state"], before["version"]) == ("connected", "1.4.0")
    assert before["installer"].startswith("Poetry")
    assert "written in the page" in before["notes"]
    assert said, wrong
    after = json.loads(said)
    assert (after["state"], after["version"], after["installer"]) == ("connected", "2.0.0", "uv")


def test_verify_proves_the_release_from_outside_and_fails_when_another_one_serves(
    site: Site,
) -> None:
    site.deploy(UV)
    words = ("verify", INVENTORY, "--tests", "tests/verify/test_app.py")
    site.uplift(*words, limit=LIMIT)
    site.deploy(POETRY)
    wrong = site.uplift(*words, check=False, limit=LIMIT)
    assert wrong.returncode != 0
    site.deploy(UV)
