"""Clients and verification against a real private index: Nexus, where everyone must sign in."""

from __future__ import annotations

import json
import secrets
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nexus_server import PORT, Run, add_user, proxy, public_indexes, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(
    lab: dict[str, Any], lab_name: str, uplift: Run, pyinfra: Run, ssh: Run
) -> Iterator[dict[str, Any]]:
    """A Nexus on the first host, signed in to by a user for readers alone."""
    host = lab["hosts"][0]
    pyinfra("inventories/lab.py", "deploys/site.py", "-y", "--limit", host["name"])
    with running(host, lab_name, uplift, ssh) as nexus:
        python, npm = public_indexes(ssh, host["name"])
        nexus.send("POST", "v1/repositories/pypi/proxy", proxy("pypi-all", python))
        nexus.send("POST", "v1/repositories/npm/proxy", proxy("npm-all", npm))
        password = add_user(nexus, "reader", ["nx-repository-view-*-*-*"])
        yield {"host": host["name"], "nexus": nexus, "password": password}


@pytest.fixture(scope="module")
def inventory(server: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's applications, with the Nexus as the only index of every client."""
    file = tmp_path_factory.mktemp("inventory") / "lab.py"
    url = f"http://{server['host']}:{PORT}/repository"
    secret = {"secret": "index/reader"}
    user = {
        "user": "app",
        "netrc": [{"machine": server["host"], "login": "reader", "password": secret}],
        "npmrc": {
            "registry": f"{url}/npm-all/",
            "auth": [{"url": f"{url}/npm-all/", "username": "reader", "password": secret}],
        },
    }
    trusted = [f"{server['host']}:{PORT}"]
    index = {"name": "corp", "url": f"{url}/pypi-all/simple", "default": True}
    clients = {
        "uv": {"index": [{**index, "authenticate": "always"}], "allow_insecure_host": trusted},
        "pip": {"index_url": f"{url}/pypi-all/simple", "trusted_host": trusted},
        "users": [user],
    }
    file.write_text(
        textwrap.dedent(f"""
        from pathlib import Path as _Path
        _lab = {{}}
        exec(_Path("inventories/lab.py").read_text(), _lab)
        _clients = {clients!r}
        apps = [(name, {{**data, "clients": _clients}}) for name, data in _lab["apps"][:1]]
        """)
    )
    return file


def resolve(uplift: Run, environment: dict[str, str], inventory: Path) -> dict[str, Any]:
    """Run the tests of clients and return the result of the one host."""
    words = ("verify", str(inventory), "--tests", "tests/verify/test_clients.py", "--json")
    done = uplift(*words, check=False, env=environment)
    (host,) = json.loads(done.stdout)["hosts"]
    return {"code": done.returncode, **host}


def test_every_client_resolves_through_an_index_that_demands_a_password_and_fails_without(
    server: dict[str, Any],
    inventory: Path,
    pyinfra: Run,
    uplift: Run,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(environment, "UPLIFT_SECRET_INDEX_READER", server["password"])
    pyinfra(str(inventory), "deploys/site.py", "-y")
    good = resolve(uplift, environment, inventory)
    # The control: the same files, but the server no longer takes what they hold.
    server["nexus"].send(
        "PUT",
        "v1/security/users/reader/change-password",
        data=secrets.token_hex(16),
        headers={"Content-Type": "text/plain"},
    )
    bad = resolve(uplift, environment, inventory)

    assert good["code"] == 0, good["failures"]
    assert good["subjects"]["clients"]["failed"] == 0
    failed = " ".join(str(failure) for failure in bad["failures"])
    assert bad["code"] == 1
    assert "test_uv_resolves_through_its_index" in failed
    assert "test_pip_downloads_through_its_index" in failed
    assert "npm" in failed
