"""A real registry on a real host: applied, drifted by hand, rotated, and what pulls from it."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ca_double import make_ca
from tests.lab.conftest import cases
from tests.lab.leaks import Watch, Words, within

from uplift import authority

PROJECT = Path(__file__).parents[2]
PYINFRA = str(Path(sys.executable).parent / "pyinfra")
BOX = "lab-1"
NAME = f"{BOX}:5000"
FOLDER = "/etc/uplift/registry"
CA = f"/etc/docker/certs.d/{NAME}/ca.crt"
IMAGE = "registry:5000/registry:2"

Run = Callable[..., subprocess.CompletedProcess[str]]


def block(**fields: Any) -> dict[str, Any]:
    """The registry's settings of the lab, with some of them changed."""
    made = {"secret": "registry/deployer", "generate": True}
    return {
        "image": IMAGE,
        "address": "0.0.0.0",  # noqa: S104
        "tls": {"names": [BOX]},
        "users": [{"name": "deployer", "password": made}],
        **fields,
    }


@dataclass
class Box:
    """The host of the registry, and deploys on it."""

    ssh: Run
    environment: dict[str, str]
    password: str

    def sh(self, script: str, *, check: bool = True) -> str:
        done = self.ssh(BOX, f"sudo sh -c {shlex.quote(script)}", check)
        return str(done.stdout).strip()

    def run(
        self, *words: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run pyinfra on the host; the registry's password is that of this test."""
        done = subprocess.run(
            # With -y, a dry run would not look for changes.
            [PYINFRA, "inventories/lab.py", "--limit", BOX, *words]
            + ([] if "--dry" in words else ["-y"]),
            cwd=PROJECT,
            env={
                **self.environment,
                "UPLIFT_SECRET_REGISTRY_DEPLOYER": self.password,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def apply(self, *deploys: str, **fields: Any) -> set[str]:
        """Deploy, and return the names of the operations that changed something."""
        data = ["--data", f"registry={json.dumps(block(**fields))}"] if fields else []
        done = self.run(*(deploys or ("deploys/registry.py",)), "--json", *data)
        results = json.loads(done.stdout)["results"]["operations"]
        return {operation["name"] for operation in results if operation["success"]}

    def status(self, password: str = "", name: str = NAME) -> str:
        """What the registry answers to the user; the chain is checked by Docker's CA file."""
        user = f'user = "deployer:{password}"\n' if password else ""
        config = f'url = "https://{name}/v2/"\ncacert = "{CA}"\n{user}'
        return self.sh(
            f"printf %s {shlex.quote(config)} | curl -sS -o /dev/null -w '%{{http_code}}' -K -"
        )

    def works(self) -> None:
        """It lets the user in, nobody else, and the host trusts it."""
        assert [self.status(), self.status(self.password), self.status("wrong")] == [
            "401",
            "200",
            "401",
        ]

    def seen(self) -> str:
        """When the container was started, and how much it has logged."""
        return self.sh(
            "docker inspect -f '{{.Id}} {{.State.StartedAt}}' registry; "
            "docker logs registry 2>&1 | wc -l"
        )

    def started(self) -> str:
        return self.seen().splitlines()[0]


@pytest.fixture(scope="module")
def box(lab: dict[str, Any], ssh: Run, environment: dict[str, str]) -> Iterator[Box]:
    """The host with Docker, clients and a registry; as the lab wants it afterwards."""
    it = Box(ssh, environment, secrets.token_hex(8))
    it.run("deploys/docker.py")
    it.apply()
    yield it
    again = [PYINFRA, "inventories/lab.py", "deploys/docker.py", "deploys/registry.py", "-y"]
    subprocess.run(again, cwd=PROJECT, env=environment, capture_output=True, check=True)


def test_a_second_run_touches_nothing(box: Box) -> None:
    box.works()
    before = box.seen()
    assert box.apply() == set()
    assert box.seen() == before


# By hand on the host, and whether the server has to be started again after it.
DRIFTS = {
    "user removed": (f"sed -i /^deployer:/d {FOLDER}/htpasswd", False),
    "hash changed": (f"echo 'deployer:$2y$05$junk' >{FOLDER}/htpasswd", False),
    "user added, file opened": (
        f"echo 'eve:x' >>{FOLDER}/htpasswd; chmod 644 {FOLDER}/htpasswd; chmod 755 {FOLDER}",
        False,
    ),
    "certificate replaced": (
        "cd /etc/uplift/registry && openssl req -x509 -newkey ec -nodes -subj /CN=x -days 9 "
        "-pkeyopt ec_paramgen_curve:prime256v1 -keyout tls.key -out tls.crt 2>/dev/null && "
        "docker restart registry",
        True,
    ),
    "container stopped": ("docker stop registry", True),
    "container renamed": ("docker rename registry elsewhere", False),
    "container removed": ("docker rm -f registry", True),
    "container by hand, without users": (
        "docker rm -f registry; docker run -d --name registry -p 5000:5000 "
        f"-v registry:/var/lib/registry {IMAGE}",
        True,
    ),
}
USUAL = [key for key in DRIFTS if not key.startswith(("container", "user added"))]


@pytest.mark.parametrize(("drift", "restarted"), cases(DRIFTS, *USUAL))
def test_drift_is_repaired_by_one_run_and_restarts_no_more_than_it_must(
    box: Box, drift: str, restarted: bool
) -> None:
    before = box.started()
    box.sh(drift)
    assert box.apply() == {"Registry"}
    box.works()
    assert (box.started() != before) is restarted
    rights = box.sh(f"stat -c '%a %U:%G' {FOLDER} {FOLDER}/*").splitlines()
    assert rights == ["700 root:root", *["600 root:root"] * 3]
    assert box.apply() == set()


def test_a_dry_run_says_what_would_change_and_writes_nothing(box: Box) -> None:
    before = box.started(), box.sh(f"cat {FOLDER}/* | sha256sum")
    words = ("deploys/registry.py", "--dry", "--data")
    more = block(users=[*block()["users"], {"name": "ci", "password": block()["users"][0]}])
    more["users"][1]["password"] = more["users"][0]["password"]
    done = box.run(*words, f"registry={json.dumps(more)}")
    assert "registry: user ci added" in done.stderr + done.stdout
    assert (box.started(), box.sh(f"cat {FOLDER}/* | sha256sum")) == before


def test_a_lost_ca_file_is_put_back_without_a_restart_of_docker(box: Box) -> None:
    daemon = "systemctl show docker -p InvocationID --value"
    before = box.sh(daemon)
    box.sh(f"rm {CA}")
    assert box.apply("deploys/docker.py") == {"Docker Engine"}
    box.works()
    assert box.sh(daemon) == before


def test_a_password_is_rotated_at_the_server_and_at_the_clients_by_one_run(box: Box) -> None:
    deploys = ("deploys/registry.py", "deploys/clients.py")
    box.apply(*deploys)
    old, started = box.password, box.started()
    box.password = secrets.token_hex(8)
    assert box.apply(*deploys) == {"Registry", "Client files"}
    box.works()
    assert box.status(old) == "401"
    assert box.started() == started
    assert box.apply(*deploys) == set()


LOGIN = "/root/.docker/config.json"


def test_a_stale_login_is_replaced_and_a_refused_one_takes_nothing_away(box: Box) -> None:
    box.apply("deploys/registry.py", "deploys/clients.py")
    good = box.sh(f"cat {LOGIN}")
    box.sh(f'sed -i \'s/"auth": ".*"/"auth": "eDp5"/\' {LOGIN}')
    assert box.apply("deploys/clients.py") == {"Client files"}
    assert box.sh(f"cat {LOGIN}") == good
    mistaken = {"UPLIFT_SECRET_REGISTRY_DEPLOYER": secrets.token_hex(8)}
    done = box.run("deploys/clients.py", check=False, **mistaken)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"docker login {NAME} as deployer: credentials: the registry refuses them" in said
    assert mistaken["UPLIFT_SECRET_REGISTRY_DEPLOYER"] not in said
    assert box.sh(f"cat {LOGIN}") == good


@pytest.mark.slow
def test_a_login_that_a_helper_answers_for_is_left_to_it(box: Box) -> None:
    box.apply("deploys/registry.py", "deploys/clients.py")
    helper = {"credHelpers": {NAME: "pass"}}
    box.sh(f"cp -p {LOGIN} /root/kept.json; echo '{json.dumps(helper)}' >{LOGIN}")
    done = box.run("deploys/clients.py")
    assert f"auths {NAME} not written: credHelpers (pass)" in done.stdout + done.stderr
    assert json.loads(box.sh(f"cat {LOGIN}")) == helper
    box.sh(f"mv /root/kept.json {LOGIN}")
    assert box.apply("deploys/clients.py") == set()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates and keys on the controller: a good pair, and what is of no use."""
    folder = tmp_path_factory.mktemp("tls")
    ca = authority.own(folder)
    certificate, key = ca.sign([BOX], datetime.now(UTC))
    texts = {
        "good.crt": certificate,
        "good.key": key.reveal(),
        "other.key": make_ca("Another")[1],
        "expired.crt": make_ca("Expired", days=-1)[0],
        "expired.key": make_ca("Expired", days=-1)[1],
        "ca.crt": ca.certificate,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in texts}


WRONG = {
    "duplicate user": (
        {"users": [*block()["users"], *block()["users"]]},
        "registry: users: 'deployer' is listed more than once",
    ),
    "bad port": ({"port": 65536}, "registry.port: "),
    "no tls for everybody": ({"tls": None}, "registry: without tls passwords would be readable"),
    "expired": (
        {"tls": {"names": [BOX], "certificate": "@expired.crt", "key_file": "@expired.key"}},
        ": expired on ",
    ),
    "another key": (
        {"tls": {"names": [BOX], "certificate": "@good.crt", "key_file": "@other.key"}},
        "does not fit the certificate",
    ),
    "another name": (
        {"tls": {"names": ["r.example"], "certificate": "@good.crt", "key_file": "@good.key"}},
        f"is not for r.example (its names: {BOX})",
    ),
}


@pytest.mark.parametrize(("fields", "text"), WRONG.values(), ids=WRONG)
def test_wrong_settings_end_the_run_before_anything_connects(
    box: Box, files: dict[str, str], fields: dict[str, Any], text: str
) -> None:
    data = json.dumps(block(**fields))
    for name, path in files.items():
        data = data.replace(f"@{name}", path)
    done = box.run("deploys/registry.py", "--data", f"registry={data}", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 64, said
    assert text in said
    assert "Connecting to hosts" not in said


@pytest.mark.slow
def test_a_certificate_of_yours_takes_the_place_of_the_controllers_and_back(
    box: Box, files: dict[str, str]
) -> None:
    tls = {"names": [BOX], "certificate": files["good.crt"], "key_file": files["good.key"]}
    assert box.apply(tls=tls) == {"Registry"}
    served = f"openssl s_client -connect {NAME} </dev/null 2>/dev/null | openssl x509"
    assert box.sh(served) == Path(files["good.crt"]).read_text().strip()
    assert box.apply(tls=tls) == set()
    assert box.apply() == {"Registry"}
    box.works()


def test_no_secret_is_in_any_output_process_or_inspection(
    box: Box, hosts: list[dict[str, Any]]
) -> None:
    box.apply("deploys/clients.py", "deploys/registry.py")
    box.password = secrets.token_hex(12)
    # All anew: users, certificate and key.
    box.sh(f"docker rm -f registry; rm -r {FOLDER}")
    deploys = ("deploys/registry.py", "deploys/clients.py")
    # This one shows what would be done, and does nothing.
    told = box.run(*deploys, "-vvv", "--debug", "--debug-operations")
    words = Words({"password": box.password})
    with Watch([host for host in hosts if host["name"] == BOX], words) as watch:
        done = box.run(*deploys, "-vvv", "--debug")
    made = {
        "key": box.sh(f"sed -n 2p {FOLDER}/tls.key"),
        "hash": box.sh(f"cut -d : -f 2 {FOLDER}/htpasswd"),
    }
    assert all(len(value) > 20 for value in made.values())
    words.add(made)
    assert watch.leaks() == []
    # Each place with something that must be found there: the scan sees what it looks at.
    places = {
        "what would be done": (told.stdout + told.stderr, "names={'Registry'}"),
        "what was done": (done.stdout + done.stderr, "registry: user deployer added"),
        "docker inspect": (box.sh("docker inspect registry"), FOLDER),
        "docker logs": (box.sh("docker logs registry 2>&1"), "level=info"),
    }
    assert [name for name, (text, control) in places.items() if control not in text] == []
    assert within(words, {name: text for name, (text, _) in places.items()}) == []
    box.works()


APP = {"name": "uplift-test", "command": ["serve", "/etc/docker/registry/config.yml"]}


@pytest.fixture(scope="module")
def images(box: Box) -> Iterator[str]:
    """An image in the registry under two tags, and one for another processor; pushed over TLS."""
    box.apply("deploys/registry.py", "deploys/clients.py")
    repository = f"{NAME}/test/app"
    box.sh(
        f"set -e; docker pull -q {IMAGE}; docker tag {IMAGE} {repository}:1; "
        f"docker push -q {repository}:1; "
        f"tar -C /etc -c hostname | docker import --platform linux/arm64 - {repository}:arm; "
        f"docker push -q {repository}:arm; "
        f"docker rmi {repository}:1 {repository}:arm; docker logout registry:5000"
    )
    yield repository
    box.sh("docker rm -f uplift-test; rm -rf /var/lib/uplift/containers/uplift-test", check=False)


def converge(box: Box, image: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Bring the container of these tests to an image."""
    given = json.dumps({**APP, "image": image})
    return box.run("tests/lab/registry_deploy.py", check=check, UPLIFT_TEST_CONTAINER=given)


def test_an_image_is_deployed_by_its_digest_and_what_cannot_be_had_touches_nothing(
    box: Box, images: str
) -> None:
    converge(box, f"{images}:1")
    look = "docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.Config.Image}}' uplift-test"
    before = box.sh(look)
    assert f"{images}@sha256:" in before
    converge(box, f"{images}:1")

    def refused(image: str) -> str:
        done = converge(box, image, check=False)
        assert done.returncode != 0
        assert box.sh(look) == before
        return done.stdout + done.stderr

    assert "the registry has no such image" in refused(f"{images}:nowhere")
    assert "no image for this architecture" in refused(f"{images}:arm")
    stale = box.sh(f"cat {LOGIN}")
    box.sh(f'sed -i \'s/"auth": ".*"/"auth": "eDp5"/\' {LOGIN}')
    try:
        assert "credentials: the registry refuses them" in refused(f"{images}:2")
    finally:
        box.sh(f"cat >{LOGIN} <<'E'\n{stale}\nE")
    converge(box, f"{images}:1")
    assert box.sh(look) == before
