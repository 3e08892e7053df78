"""A secret in every setting that takes one: no run, and nothing that tells of runs, shows any."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from tests.lab.leaks import PLANTED, READABLE, There, Watch, Words, files_in, within
from tests.lab.secret_settings import MADE, everything, fields, places, ref, shared, values

from uplift import authority
from uplift.secrets.store import Store
from uplift.settings import Settings, from_data
from uplift.spec.secret import Secret

PROJECT = Path(__file__).parents[2]
INVENTORY = """
import json
from pathlib import Path
from uplift.lab import inventory as _inventory

_groups = _inventory.groups_or_exit()
_hosts = dict([*_groups["services"], *_groups["apps"]])
_data = json.loads(Path("settings.json").read_text())
canaries = [(name, {**_hosts[name], "_sudo": True, **_data[name]}) for name in sorted(_data)]
"""
INVENTORY_FILE = "inventories/canary.py"
BREAK = "tests/lab/rollout_deploy.py"
DEPLOYS = [f"deploys/{name}.py" for name in ("docker", "registry", "redis", "influxdb", "clients")]
DEPLOYS += ["deploys/backup.py", "deploys/app.py"]
# Their services are not in this lab: they are looked at, up to their first command.
LOOKED_AT = [f"deploys/{name}.py" for name in ("nexus", "packages", "images")]
KEYS = ("haproxy.certificates[].key", "registry.tls.key", "nexus.container.tls.key")
# The settings themselves say that these are shown in variables.
SHOWN = {"apps[].environment[]", "apps[].jobs[].environment[]"}
LEAK = """
from pyinfra.api.operation import operation
from uplift.operations import script
from uplift.secrets import SecretRef, resolve
@operation()
def leak():
    script.announce("leak: " + resolve(SecretRef(secret="planted")).reveal())
    script.changed("leak: " + resolve(SecretRef(secret="planted")).reveal())
    yield script.run("true")
leak(name="A leak")
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Canaries:
    """A project whose hosts have a secret of each kind, and what its commands have printed."""

    folder: Path
    certificates: dict[str, str]
    keys: dict[str, str]
    uplift: Run
    pyinfra: list[str]
    environment: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    planted: str = ""
    said: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Return the hosts."""
        return ["lab-1", "lab-2"]

    def rotate(self) -> None:
        """Give every place its other secret."""
        self.values, self.others = self.others, self.values
        self.keep()

    def keep(self) -> None:
        """Write the secrets to the store, where people keep them."""
        store = Store(self.folder)
        text = tomlkit.document()
        made = store.values().get(ref(MADE)["secret"]) if store.path.exists() else None
        if made:
            text[ref(MADE)["secret"]] = made.reveal()
        for place, value in {**self.values, "planted": self.planted}.items():
            text[ref(place)["secret"]] = value
        store.write(Secret(tomlkit.dumps(text)))

    def words(self) -> Words:
        """Return all that must show nowhere, and the control."""
        made = Store(self.folder).values().get(ref(MADE)["secret"])
        more = {f"{place}, another": value for place, value in self.others.items()}
        more |= {MADE: made.reveal()} if made else {}
        return Words({**self.values, **more}, self.planted)

    def call(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run `uplift`, and keep what it printed."""
        return self._kept(self.uplift(*words, check=False, **self._options), words, codes)

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run pyinfra, and keep what it printed."""
        done = subprocess.run(
            [*self.pyinfra, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            **self._options,
        )
        return self._kept(done, ("pyinfra", *words), codes)

    @property
    def _options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment}

    def _kept(
        self,
        done: subprocess.CompletedProcess[str],
        words: tuple[str, ...],
        codes: tuple[int, ...],
    ) -> str:
        said = done.stdout + done.stderr
        self.said[f"{len(self.said)} {' '.join(words)}"] = said
        held = self.words().within(said)
        assert done.returncode in codes, f"{words}: {done.returncode}, {held or said[-3000:]}"
        return said


@pytest.fixture(scope="module")
def whole(
    hosts: list[dict[str, Any]],
    uplift: Run,
    environment: dict[str, str],
    lab_name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Canaries:
    """A folder like the project's, with settings and secrets of its own."""
    folder = tmp_path_factory.mktemp("project")
    for path in PROJECT.iterdir():
        if path.name not in (".uplift", ".git", "inventories"):
            (folder / path.name).symlink_to(path)
    for name in (".uplift", "inventories", "own", "tmp"):
        (folder / name).mkdir()
    for path in (PROJECT / ".uplift").iterdir():
        if path.name not in ("runs", "identity.txt"):
            (folder / ".uplift" / path.name).symlink_to(path)
    (folder / "inventories/canary.py").write_text(INVENTORY)
    (folder / "leak.py").write_text(LEAK)
    ca = authority.own(folder / "own")
    signed = {key: ca.sign(["lab-1"], datetime.now(UTC)) for key in KEYS}
    certificates = {key: str(folder / f"own/{number}.crt") for number, key in enumerate(KEYS)}
    for key, (text, _) in signed.items():
        Path(certificates[key]).write_text(text)
    mine = {**environment, "XDG_CONFIG_HOME": str(folder / "own"), "TMPDIR": str(folder / "tmp")}
    uplift("secrets", "init", cwd=folder, env=mine)
    data = {"lab-1": everything(certificates), "lab-2": shared()}
    (folder / "settings.json").write_text(json.dumps(data))
    for image in ("registry", "redis", "influxdb:2.7.12", "python"):
        uplift("lab", "image", image, "--name", lab_name)
    keys = {key: secret.reveal() for key, (_, secret) in signed.items()}
    pyinfra = [str(PROJECT / ".venv/bin/pyinfra")]
    return Canaries(folder, certificates, keys, uplift, pyinfra, mine)


@pytest.fixture
def canaries(
    whole: Canaries, hosts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Canaries]:
    """Hosts without anything of these tests, and new secrets."""
    # The store is asked here as well, for what a service made.
    monkeypatch.setenv("XDG_CONFIG_HOME", whole.environment["XDG_CONFIG_HOME"])
    whole.planted = Words({}).planted
    whole.values, whole.others = values(whole.keys), values(whole.keys)
    whole.said.clear()
    whole.keep()
    whole.run(INVENTORY_FILE, "deploys/docker.py", "-y")

    def clean() -> None:
        for host in hosts[: len(whole.names)]:
            There(host, whole.words()).run(CLEAN)

    # Also what a run of these tests left that was killed: a server knows its old secrets.
    clean()
    yield whole
    clean()


CLEAN = """
docker ps -aq | xargs -r docker rm -f >/dev/null
docker volume ls -q | xargs -r docker volume rm >/dev/null
systemctl disable -q --now haproxy uplift-backup-influxdb.timer uplift-backup-nexus.timer || :
rm -rf /etc/haproxy/haproxy.cfg /etc/haproxy/certs /etc/uplift/* /var/lib/uplift/releases
rm -rf /var/lib/uplift/apps /var/lib/uplift/containers /etc/uplift-test*
rm -f /root/.netrc /root/.npmrc /root/.pypirc /root/.docker/config.json
"""


def test_every_place_of_the_settings_that_takes_a_secret_has_one_here() -> None:
    held = places(from_data(everything(dict.fromkeys(KEYS, "none.pem"))))
    assert fields(Settings) - held == set(), "give it a secret in secret_settings.py"
    assert held - fields(Settings) == set(), "the search for places has missed one"


def test_no_secret_is_in_a_plan_of_every_kind_of_setting_and_what_was_planted_is_found(
    canaries: Canaries,
) -> None:
    inventory = INVENTORY_FILE
    host = ("--limit", "lab-1")
    # Images need a newer Docker than the lab's: the operation refuses, which is told as well.
    canaries.call(
        *("plan", inventory, *DEPLOYS, *LOOKED_AT, *host, "-o", "plan.json"), codes=(1, 2)
    )
    plan = (canaries.folder / "plan.json").read_text()
    for subject in ("redis", "influxdb", "registry", "clients", "nexus", "images", "haproxy"):
        assert f"uplift.operations.{subject}" in plan, subject
    words = canaries.words()
    assert within(words, {**canaries.said, "plan.json": plan}) == []
    canaries.call("plan", inventory, "leak.py", *host, "-o", "leak.json", codes=(2,))
    leaky = {**canaries.said, "leak.json": (canaries.folder / "leak.json").read_text()}
    assert {line.rpartition(": ")[2] for line in within(words, leaky)} == {PLANTED}
    assert f"leak.json: {PLANTED}" in within(words, leaky)


# On a host, as root: where something would stay that was shown once. The control is put there.
SHOWN_BY = {
    # A release keeps its secrets for the way back to it, each in a file of root's own.
    "records": "cat $(find /var/lib/uplift -type f -not -path '*/releases/*/secrets/*')",
    "journal": "journalctl -o cat --no-pager --since -60min",
    "containers": "docker ps -aq | xargs -r docker inspect",
    "logs": "for i in $(docker ps -aq); do docker logs $i; done",
    "image layers": "docker images -q | sort -u | xargs -r -n 1 docker history --no-trunc",
    "everybody's files": READABLE,
}
PLANT = """
install -d -m 700 /var/lib/uplift/runs; printf %s "$1" >/var/lib/uplift/runs/planted
logger "$1"; install -m 644 /var/lib/uplift/runs/planted /tmp/uplift-test-planted
docker run --name planted --label planted="$1" --network none registry:5000/python:3.13-slim \
  echo "$1" >/dev/null
printf 'FROM scratch\\nLABEL planted=%s\\n' "$1" | docker build -q -t planted - >/dev/null
"""
UNPLANT = """
rm -f /var/lib/uplift/runs/planted /tmp/uplift-test-planted
docker rm planted >/dev/null; docker rmi planted >/dev/null
"""


@pytest.mark.slow
def test_no_secret_shows_in_a_rollout_that_fails_is_resumed_and_is_told_of(
    canaries: Canaries, hosts: list[dict[str, Any]]
) -> None:
    there = [There(host, canaries.words()) for host in hosts[: len(canaries.names)]]
    for host in there:
        host.run("echo version one >/etc/uplift-test")
    there[1].run("touch /etc/uplift-test-break")
    with watching(canaries, hosts) as watch:
        every = ("--gate", "tests/verify/test_redis.py", "--data", "version=two", "-y")
        canaries.call("rollout", INVENTORY_FILE, *DEPLOYS, BREAK, *every, codes=(3,))
        canaries.call("show")
        there[1].run("rm /etc/uplift-test-break")
        canaries.call("resume", "--json")
        tell(canaries)
    # The program of the container has the variable: what the settings say is shown was seen.
    assert "lab-1: variable: apps[].environment[]" in watch.leaks()
    check_all(canaries, hosts, watch)
    check_the_search(canaries)


@pytest.mark.slow
def test_no_secret_shows_where_other_ones_are_wanted_and_a_service_refuses_them(
    canaries: Canaries, hosts: list[dict[str, Any]]
) -> None:
    canaries.run(INVENTORY_FILE, *DEPLOYS, "-y")
    with watching(canaries, hosts) as watch:
        # InfluxDB does not know the other token: the run fails where others are written already.
        canaries.rotate()
        canaries.run(INVENTORY_FILE, *DEPLOYS, "--dry", "-vvv", "--debug", codes=(0, 1))
        words = (INVENTORY_FILE, *DEPLOYS, "--no-gate", "-y", "--json", "--waves", "100%")
        canaries.call("rollout", *words, codes=(1, 3))
        canaries.call("abort", codes=(3,))
        canaries.rotate()
        canaries.run(INVENTORY_FILE, *DEPLOYS, "-y", "-vvv", "--debug")
        canaries.run(INVENTORY_FILE, *LOOKED_AT, "--dry", "-vvv", "--debug", codes=(0, 1))
        canaries.call("drift", INVENTORY_FILE, *DEPLOYS, "--json", codes=(0, 2))
    check_all(canaries, hosts, watch)


def watching(canaries: Canaries, hosts: list[dict[str, Any]]) -> Watch:
    """Sample the hosts, and the files of this machine that runs write."""
    roots = [canaries.folder / "tmp", canaries.folder]
    return Watch(hosts[: len(canaries.names)], canaries.words(), roots)


def tell(canaries: Canaries) -> None:
    """Ask for all that tells of runs."""
    canaries.run(INVENTORY_FILE, "debug-inventory")
    run = json.loads(canaries.call("history", "--json"))[0]["run"]
    for more in ([], ["--json"]):
        canaries.call("show", run, *more)
        canaries.call("history", *more)
        canaries.call("status", INVENTORY_FILE, *more, codes=(0, 1))
        canaries.call("lock", "status", INVENTORY_FILE, *more)


def check_all(canaries: Canaries, hosts: list[dict[str, Any]], watch: Watch) -> None:
    """Nothing was seen, and nothing stays."""
    assert [line for line in watch.leaks() if not shown_on_purpose(line)] == []
    for host in hosts[: len(canaries.names)]:
        check_what_stays(There(host, canaries.words()))
    folder = canaries.folder
    told = {**canaries.said, **files_in(folder / ".uplift/runs"), **files_in(folder / "tmp")}
    assert within(canaries.words(), told) == []


def shown_on_purpose(line: str) -> bool:
    """Tell whether the settings say that this is shown: in variables, which are their owner's.

    Hosts of the lab are containers of this machine: what they run is seen from here too.
    """
    _, kind, name = line.split(": ")
    return kind == "variable" and name.partition(",")[0] in SHOWN


def check_what_stays(there: There) -> None:
    """Nothing is where it would stay on a host, and the searches find what was put there."""
    there.run(PLANT, there.words.planted)
    try:
        found = there.search(SHOWN_BY)
    finally:
        there.run(UNPLANT)
    assert [place for place, names in found.items() if PLANTED not in names] == []
    found["containers"] -= {name for name in found["containers"] if name.partition(",")[0] in SHOWN}
    assert {place: names for place, names in found.items() if names != {PLANTED}} == {}


def check_the_search(canaries: Canaries) -> None:
    """A deploy file that says a secret is found in each place that was searched."""
    inventory, host = INVENTORY_FILE, ("--limit", "lab-1")
    runs = canaries.folder / ".uplift/runs"
    before, canaries.said = set(files_in(runs)), {}
    canaries.call("plan", inventory, "leak.py", *host, "-o", "leak.json", codes=(2,))
    canaries.call("rollout", inventory, "leak.py", *host, "--no-gate", "-y")
    canaries.call("rollout", inventory, "leak.py", *host, "--no-gate", "-y", "--json")
    canaries.run(inventory, "leak.py", *host, "-y")
    text = (canaries.folder / "leak.json").read_text()
    for place, said in {**canaries.said, "leak.json": text}.items():
        assert canaries.words().within(said) == {PLANTED}, place
    records = {name: text for name, text in files_in(runs).items() if name not in before}
    assert within(canaries.words(), records) != []
